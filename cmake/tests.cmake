# SPDX-License-Identifier: Apache-2.0
# tests/<room>/test_<name>.c is one cmocka program, run as ctest <room>/<name>; the target
# tests_<room> builds a room's programs. tests/support/*.c is linked to each of them.

file(GLOB_RECURSE test_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/test_*.c)
file(GLOB support_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/support/*.c)
find_library(CMOCKA_LIBRARY cmocka)
find_program(SINTER_GLPSOL glpsol)
if(NOT SINTER_GLPSOL)
  message(STATUS "GLPK's glpsol was not found: passes/search_ilp is left out")
  list(FILTER test_sources EXCLUDE REGEX "/test_search_ilp\\.c$")
endif()
set(test_definitions SINTER_GLPSOL="${SINTER_GLPSOL}"
  SINTER_TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}" SINTER_TEST_BUILD_DIR="${CMAKE_BINARY_DIR}")

if(support_sources)
  add_library(sinter_test_support STATIC ${support_sources})
  target_link_libraries(sinter_test_support PUBLIC ${SINTER_ROOMS})
  target_compile_definitions(sinter_test_support PRIVATE ${test_definitions})
endif()

function(sinter_test source)
  file(RELATIVE_PATH relative ${CMAKE_SOURCE_DIR}/tests ${source})
  get_filename_component(folder ${relative} DIRECTORY)
  get_filename_component(name ${relative} NAME_WE)
  string(REGEX REPLACE "^test_" "" name ${name})
  string(REPLACE "/" "_" target "test_${folder}_${name}")
  string(REGEX REPLACE "/.*" "" room "${folder}")
  add_executable(${target} ${source})
  if(TARGET sinter_test_support)
    target_link_libraries(${target} PRIVATE sinter_test_support)
  endif()
  target_link_libraries(${target} PRIVATE ${SINTER_ROOMS} ${CMOCKA_LIBRARY} m)
  target_compile_definitions(${target} PRIVATE ${test_definitions})
  if(room MATCHES "^(sim|codegen|e2e|runtime)$" AND TARGET sinter_sim_nccl)
    add_dependencies(${target} sinter_sim_cuda sinter_sim_nccl)
  endif()
  add_test(NAME ${folder}/${name} COMMAND ${target})
  set_tests_properties(${folder}/${name} PROPERTIES TIMEOUT 300)
  if(NOT TARGET tests_${room})
    add_custom_target(tests_${room})
  endif()
  add_dependencies(tests_${room} ${target})
endfunction()

if(CMOCKA_LIBRARY)
  foreach(source IN LISTS test_sources)
    sinter_test(${source})
  endforeach()
elseif(test_sources)
  message(STATUS "cmocka was not found: the unit tests are left out")
endif()

add_test(NAME structure/includes
  COMMAND ${CMAKE_SOURCE_DIR}/tests/structure/includes.sh ${CMAKE_SOURCE_DIR})
if(TARGET sinter_runtime)
  add_test(NAME structure/runtime_symbols
    COMMAND ${CMAKE_SOURCE_DIR}/tests/structure/runtime_symbols.sh $<TARGET_FILE:sinter_runtime>)
endif()

# tests/cli/cli_<name>.sh gets the program and the tree.
file(GLOB program_tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/cli/cli_*.sh)
foreach(script IN LISTS program_tests)
  if(TARGET sinter)
    get_filename_component(name ${script} NAME_WE)
    string(REGEX REPLACE "^cli_" "" name ${name})
    add_test(NAME cli/${name} COMMAND ${script} $<TARGET_FILE:sinter> ${CMAKE_SOURCE_DIR})
    set_tests_properties(cli/${name} PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77)
  endif()
endforeach()

# tests/package/package_<name>.sh gets the build folder and the tree.
if(TARGET sinter_package)
  add_test(NAME package/install COMMAND
    ${CMAKE_SOURCE_DIR}/tests/package/package_install.sh ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
  set_tests_properties(package/install PROPERTIES TIMEOUT 300)
endif()

# tests/zoo/zoo_<name>.sh gets the program, the generator of models, and the tree.
file(GLOB zoo_tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/zoo/zoo_*.sh)
foreach(script IN LISTS zoo_tests)
  if(TARGET sinter)
    get_filename_component(name ${script} NAME_WE)
    string(REGEX REPLACE "^zoo_" "" name ${name})
    # Golden plans at true size: one build's answer will do, and a search with sanitizers is slow.
    if(SINTER_SANITIZE AND name MATCHES "^(splits|rank_plans)$")
      continue()
    endif()
    add_test(NAME zoo/${name}
      COMMAND ${script} $<TARGET_FILE:sinter> $<TARGET_FILE:zoo> ${CMAKE_SOURCE_DIR})
    set_tests_properties(zoo/${name} PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77)
  endif()
endforeach()

if(SINTER_FUZZ)
  file(GLOB_RECURSE fuzz_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
  foreach(source IN LISTS fuzz_sources)
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE ${SINTER_ROOMS} m)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  endforeach()
endif()

# lit calls a run without tests an error, so the suite exists only once there is a text test.
set(SINTER_LIT /usr/lib/llvm-19/build/utils/lit/lit.py CACHE FILEPATH "LLVM's lit")
find_program(SINTER_PYTHON python3)
file(GLOB_RECURSE text_tests CONFIGURE_DEPENDS
  ${CMAKE_SOURCE_DIR}/tests/*.sir ${CMAKE_SOURCE_DIR}/tests/*.test)
if(text_tests AND EXISTS ${CMAKE_SOURCE_DIR}/tests/lit.cfg.py AND EXISTS ${SINTER_LIT}
   AND SINTER_PYTHON AND TARGET sinter)
  add_test(NAME lit COMMAND ${SINTER_PYTHON} ${SINTER_LIT} -sv -j2
    --param build=${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR}/tests)
  set_tests_properties(lit PROPERTIES TIMEOUT 900)
endif()

# tests/python/<name>.py gets the program; skipped where Python lacks the onnx module (SINTER_PYTHON
# may name one that has it).
file(GLOB python_tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/python/*.py)
foreach(script IN LISTS python_tests)
  if(TARGET sinter AND SINTER_PYTHON)
    get_filename_component(name ${script} NAME_WE)
    add_test(NAME python/${name} COMMAND ${SINTER_PYTHON} ${script} $<TARGET_FILE:sinter>)
    set_tests_properties(python/${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
  endif()
endforeach()

# tests/conformance/<name>.c are programs to run over the cases of a standard, by hand or by a script.
file(GLOB conformance_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/conformance/*.c)
foreach(source IN LISTS conformance_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${SINTER_ROOMS} m)
endforeach()

# Whoever runs a program of this build by hand sets the same.
if(SINTER_SANITIZE MATCHES thread)
  get_property(all_tests DIRECTORY PROPERTY TESTS)
  set_property(TEST ${all_tests} APPEND PROPERTY
    ENVIRONMENT TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.suppressions)
endif()
