# SPDX-License-Identifier: Apache-2.0
# The program that writes the models of models/zoo.

file(GLOB zoo_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/models/zoo/*.c)
add_executable(zoo ${zoo_sources})
target_link_libraries(zoo PRIVATE sinter_frontend sinter_base m)
