# SPDX-License-Identifier: Apache-2.0
# bench/bench_<name>.c is one program, built by target bench_<name> or all of them by `bench`.

file(GLOB bench_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/bench_*.c)
add_custom_target(bench)
foreach(source IN LISTS bench_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} EXCLUDE_FROM_ALL ${source})
  if(TARGET sinter_test_support)
    target_link_libraries(${name} PRIVATE sinter_test_support)
  endif()
  target_link_libraries(${name} PRIVATE ${SINTER_ROOMS} m ${CMAKE_DL_LIBS})
  add_dependencies(bench ${name})
endforeach()
