# SPDX-License-Identifier: Apache-2.0
# sinter_room: a folder of sources becomes the static library sinter_<name>.

set(SINTER_GENERATED ${CMAKE_BINARY_DIR}/gen)
set(SINTER_ROOMS "")

# protoc-c: <folder>/x.proto becomes gen/<folder>/x.pb-c.{c,h}, included by that path.
function(sinter_protos folder out_sources)
  file(GLOB_RECURSE protos CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.proto)
  set(sources "")
  if(protos)
    find_program(PROTOC_C protoc-c REQUIRED)
  endif()
  foreach(proto IN LISTS protos)
    file(RELATIVE_PATH relative ${CMAKE_SOURCE_DIR} ${proto})
    string(REGEX REPLACE "\\.proto$" ".pb-c" stem ${SINTER_GENERATED}/${relative})
    file(MAKE_DIRECTORY ${SINTER_GENERATED})
    add_custom_command(
      OUTPUT ${stem}.c ${stem}.h
      COMMAND ${PROTOC_C} --proto_path=${CMAKE_SOURCE_DIR} --c_out=${SINTER_GENERATED} ${proto}
      DEPENDS ${proto} VERBATIM)
    set_source_files_properties(${stem}.c PROPERTIES COMPILE_OPTIONS -w)
    list(APPEND sources ${stem}.c ${stem}.h)
  endforeach()
  set(${out_sources} ${sources} PARENT_SCOPE)
endfunction()

# flex and bison: <folder>/x.l becomes gen/<folder>/x.lex.{c,h}, x.y becomes x.tab.{c,h}.
function(sinter_grammars folder out_sources)
  file(GLOB_RECURSE scanners CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.l)
  file(GLOB_RECURSE parsers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.y)
  set(sources "")
  foreach(scanner IN LISTS scanners)
    find_program(FLEX flex REQUIRED)
    file(RELATIVE_PATH relative ${CMAKE_SOURCE_DIR} ${scanner})
    string(REGEX REPLACE "\\.[ly]$" ".lex" stem ${SINTER_GENERATED}/${relative})
    get_filename_component(directory ${stem} DIRECTORY)
    file(MAKE_DIRECTORY ${directory})
    add_custom_command(
      OUTPUT ${stem}.c ${stem}.h
      COMMAND ${FLEX} --outfile=${stem}.c --header-file=${stem}.h ${scanner}
      DEPENDS ${scanner} VERBATIM)
    list(APPEND sources ${stem}.c ${stem}.h)
  endforeach()
  foreach(parser IN LISTS parsers)
    find_program(BISON bison REQUIRED)
    file(RELATIVE_PATH relative ${CMAKE_SOURCE_DIR} ${parser})
    string(REGEX REPLACE "\\.[ly]$" ".tab" stem ${SINTER_GENERATED}/${relative})
    get_filename_component(directory ${stem} DIRECTORY)
    file(MAKE_DIRECTORY ${directory})
    add_custom_command(
      OUTPUT ${stem}.c ${stem}.h
      COMMAND ${BISON} -Werror --output=${stem}.c --defines=${stem}.h ${parser}
      DEPENDS ${parser} VERBATIM)
    list(APPEND sources ${stem}.c ${stem}.h)
  endforeach()
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS
    "-Wno-unused-function;-Wno-unused-but-set-variable;-Wno-sign-compare;-Wno-shadow")
  set(${out_sources} ${sources} PARENT_SCOPE)
endfunction()

# sinter_room(name folder [PROTO] [GRAMMAR] [LINK libraries...])
# Names in LINK that begin with sinter_ and do not exist are passed over: that room is empty.
macro(sinter_room name folder)
  cmake_parse_arguments(ROOM "PROTO;GRAMMAR" "" "LINK" ${ARGN})
  file(GLOB_RECURSE room_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.c)
  set(room_generated "")
  if(ROOM_PROTO)
    sinter_protos(${folder} room_generated)
  endif()
  if(ROOM_GRAMMAR)
    sinter_grammars(${folder} room_generated)
  endif()
  if(room_sources OR room_generated)
    add_library(sinter_${name} STATIC ${room_sources} ${room_generated})
    foreach(library IN LISTS ROOM_LINK)
      if(TARGET ${library} OR NOT library MATCHES "^sinter_")
        target_link_libraries(sinter_${name} PUBLIC ${library})
      endif()
    endforeach()
    # Users of a generated header must wait for it.
    if(room_generated)
      add_custom_target(sinter_${name}_generated DEPENDS ${room_generated})
      add_dependencies(sinter_${name} sinter_${name}_generated)
    endif()
    # Users come before what they use on the linker's command line.
    list(PREPEND SINTER_ROOMS sinter_${name})
  endif()
endmacro()

# The static archive: an engine's host needs no protobuf-c of its own.
function(sinter_link_protobuf_c room)
  if(TARGET sinter_${room})
    find_library(PROTOBUF_C_STATIC NAMES libprotobuf-c.a REQUIRED)
    target_link_libraries(sinter_${room} PUBLIC ${PROTOBUF_C_STATIC})
  endif()
endfunction()
