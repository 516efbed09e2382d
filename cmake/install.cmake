# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts under its prefix: the program, the two libraries with their headers,
# pkg-config files and CMake package, the manual page, completions. All of it may be moved together.
#
# Builds with sanitizers install nothing: their libraries fit no ordinary program.
if(SINTER_SANITIZE OR NOT TARGET sinter)
  return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package ${CMAKE_SOURCE_DIR}/cmake/package)
set(package_out ${CMAKE_BINARY_DIR}/package)

# A shared library around rooms, which shows only what `map` lists. The rooms themselves are static.
function(sinter_shared name room map)
  set(target sinter_${name}_shared)
  add_library(${target} SHARED ${map})
  set_target_properties(${target} PROPERTIES
    LINKER_LANGUAGE C OUTPUT_NAME sinter_${name} EXPORT_NAME ${name}
    VERSION ${SINTER_VERSION} SOVERSION ${SINTER_ABI}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib LINK_DEPENDS ${map})
  target_link_libraries(${target} PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,${room}>)
  target_link_options(${target} PRIVATE -Wl,--version-script=${map}
                      -Wl,--gc-sections -Wl,-z,defs)
  target_include_directories(${target} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  install(TARGETS ${target} EXPORT SinterTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

# While the version is 0.x, each minor one may change the ABI.
set(SINTER_ABI ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(SINTER_VERSION ${PROJECT_VERSION})
sinter_shared(runtime sinter_runtime ${package}/runtime.map)
sinter_shared(compiler sinter_compiler ${package}/compiler.map)

# One object with everything that the runtime needs, whose other names are its own: it can be linked
# beside any protobuf-c.
set(runtime_static ${CMAKE_BINARY_DIR}/lib/libsinter_runtime.a)
add_custom_command(
  OUTPUT ${runtime_static}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${package_out} ${CMAKE_BINARY_DIR}/lib
  COMMAND ${CMAKE_LINKER} -r -o ${package_out}/sinter_runtime.o
    --whole-archive $<TARGET_FILE:sinter_runtime> --no-whole-archive
    $<TARGET_FILE:sinter_base> ${PROTOBUF_C_STATIC}
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=sinter_* ${package_out}/sinter_runtime.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${runtime_static}
  COMMAND ${CMAKE_AR} rcsD ${runtime_static} ${package_out}/sinter_runtime.o
  DEPENDS sinter_runtime sinter_base VERBATIM)
set(package_files ${runtime_static})

add_custom_command(
  OUTPUT ${package_out}/sinter.bash
  COMMAND ${CMAKE_COMMAND} -E make_directory ${package_out}
  COMMAND sh -c "'$<TARGET_FILE:sinter>' completions bash >'${package_out}/sinter.bash'"
  DEPENDS sinter VERBATIM)
list(APPEND package_files ${package_out}/sinter.bash)

find_program(SCDOC scdoc)
if(SCDOC)
  add_custom_command(
    OUTPUT ${package_out}/sinter.1
    COMMAND ${CMAKE_COMMAND} -E make_directory ${package_out}
    COMMAND sh -c "'$<TARGET_FILE:sinter>' help --man >'${package_out}/sinter.1.scd' && '${SCDOC}' <'${package_out}/sinter.1.scd' >'${package_out}/sinter.1'"
    DEPENDS sinter VERBATIM)
  list(APPEND package_files ${package_out}/sinter.1)
  install(FILES ${package_out}/sinter.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/*.scd)
  foreach(page IN LISTS pages)
    get_filename_component(name ${page} NAME_WLE)
    string(REGEX REPLACE ".*\\." "" section ${name})
    add_custom_command(
      OUTPUT ${package_out}/${name}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${package_out}
      COMMAND sh -c "'${SCDOC}' <'${page}' >'${package_out}/${name}'"
      DEPENDS ${page} VERBATIM)
    list(APPEND package_files ${package_out}/${name})
    install(FILES ${package_out}/${name} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endforeach()
else()
  message(STATUS "scdoc was not found: there will be no manual pages")
endif()
add_custom_target(sinter_package ALL DEPENDS ${package_files})

file(RELATIVE_PATH SINTER_PC_PREFIX
  /x/${CMAKE_INSTALL_LIBDIR}/pkgconfig /x)
string(REGEX REPLACE "/$" "" SINTER_PC_PREFIX "${SINTER_PC_PREFIX}")
foreach(name runtime compiler)
  configure_file(${package}/sinter-${name}.pc.in ${package_out}/sinter-${name}.pc @ONLY)
endforeach()
set(cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Sinter)
configure_package_config_file(
  ${package}/SinterConfig.cmake.in ${package_out}/SinterConfig.cmake
  INSTALL_DESTINATION ${cmake_folder} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${package_out}/SinterConfigVersion.cmake
  VERSION ${SINTER_VERSION} COMPATIBILITY SameMinorVersion)

install(TARGETS sinter RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${runtime_static} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/sinter DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
install(FILES ${package_out}/sinter-runtime.pc ${package_out}/sinter-compiler.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(EXPORT SinterTargets NAMESPACE Sinter:: DESTINATION ${cmake_folder})
install(FILES ${package_out}/SinterConfig.cmake ${package_out}/SinterConfigVersion.cmake
  DESTINATION ${cmake_folder})
install(FILES ${package_out}/sinter.bash RENAME sinter
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/SECURITY.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/examples DESTINATION ${CMAKE_INSTALL_DOCDIR})
# Its code is inside both libraries, and its licence asks to be told of.
install(FILES /usr/share/doc/libprotobuf-c-dev/copyright RENAME copyright.protobuf-c
  DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
