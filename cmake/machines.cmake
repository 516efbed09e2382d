# SPDX-License-Identifier: Apache-2.0
# models/machines/*.machine as strings of the program: gen/passes/partition/machine_files.c.

file(GLOB machine_paths CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/models/machines/*.machine)
set(machine_rows "")
foreach(path IN LISTS machine_paths)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  get_filename_component(name ${path} NAME_WE)
  file(READ ${path} text)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "\n" "\\n\"\n     \"" text "${text}")
  string(APPEND machine_rows "    {\"${name}\",\n     \"${text}\"},\n")
endforeach()
file(CONFIGURE OUTPUT ${SINTER_GENERATED}/passes/partition/machine_files.c CONTENT
"#include \"base/map.h\"
#include \"passes/partition/machine_parse.h\"

const struct machine_file machine_files[] = {
${machine_rows}    {0},
};
" @ONLY)
target_sources(sinter_passes PRIVATE ${SINTER_GENERATED}/passes/partition/machine_files.c)
