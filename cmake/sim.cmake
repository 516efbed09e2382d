# SPDX-License-Identifier: Apache-2.0
# build/<preset>/sim/libcuda.so.1: the simulated driver, for LD_LIBRARY_PATH.
add_library(sinter_sim_cuda SHARED ${CMAKE_SOURCE_DIR}/sim/cuda/libcuda.map)
set_target_properties(sinter_sim_cuda PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME cuda SOVERSION 1
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/sim
  LINK_DEPENDS ${CMAKE_SOURCE_DIR}/sim/cuda/libcuda.map)
target_link_libraries(sinter_sim_cuda PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,sinter_sim> ${CMAKE_DL_LIBS})
target_link_options(sinter_sim_cuda PRIVATE
  -Wl,--version-script=${CMAKE_SOURCE_DIR}/sim/cuda/libcuda.map)

# build/<preset>/sim/libnccl.so.2: its collectives, over the same driver.
file(GLOB sim_nccl_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/sim/nccl/*.c)
get_target_property(sim_sources sinter_sim SOURCES)
list(FILTER sim_sources EXCLUDE REGEX "sim/nccl/")
set_target_properties(sinter_sim PROPERTIES SOURCES "${sim_sources}")
add_library(sinter_sim_nccl SHARED ${sim_nccl_sources})
set_target_properties(sinter_sim_nccl PROPERTIES OUTPUT_NAME nccl SOVERSION 2
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/sim
  BUILD_RPATH "$ORIGIN"
  LINK_DEPENDS ${CMAKE_SOURCE_DIR}/sim/nccl/libnccl.map)
target_link_libraries(sinter_sim_nccl PRIVATE sinter_sim_cuda sinter_sim Threads::Threads rt)
target_link_options(sinter_sim_nccl PRIVATE
  -Wl,--version-script=${CMAKE_SOURCE_DIR}/sim/nccl/libnccl.map)
