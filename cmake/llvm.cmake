# SPDX-License-Identifier: Apache-2.0
# LLVM 19 through its C API. Shared by default; -DSINTER_STATIC_LLVM=ON for a bundle that
# carries its own LLVM and shows none of its symbols.

# LLVM accepts only its own major.minor; 19.1 is the one release line of 19.
find_package(LLVM 19.1 REQUIRED CONFIG)

function(sinter_link_llvm target)
  target_include_directories(${target} SYSTEM PUBLIC ${LLVM_INCLUDE_DIRS})
  if(NOT SINTER_STATIC_LLVM)
    target_link_libraries(${target} PUBLIC LLVM)
    return()
  endif()
  llvm_map_components_to_libnames(components
    core analysis passes x86codegen x86asmparser x86desc x86info
    nvptxcodegen nvptxdesc nvptxinfo bitwriter irreader)
  target_link_libraries(${target} PUBLIC ${components} stdc++)
  target_link_options(${target} PUBLIC -Wl,--gc-sections)
endfunction()
