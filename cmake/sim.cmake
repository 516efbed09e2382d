# SPDX-License-Identifier: Apache-2.0
# build/<preset>/sim/libcuda.so.1: the simulated driver, for LD_LIBRARY_PATH.
add_library(sinter_sim_cuda SHARED ${CMAKE_SOURCE_DIR}/sim/cuda/libcuda.map)
set_target_properties(sinter_sim_cuda PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME cuda SOVERSION 1
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/sim
  LINK_DEPENDS ${CMAKE_SOURCE_DIR}/sim/cuda/libcuda.map)
target_link_libraries(sinter_sim_cuda PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,sinter_sim> ${CMAKE_DL_LIBS})
target_link_options(sinter_sim_cuda PRIVATE
  -Wl,--version-script=${CMAKE_SOURCE_DIR}/sim/cuda/libcuda.map)
