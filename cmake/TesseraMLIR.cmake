# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Finds MLIR and LLVM 22, from the PyPI wheels in the building interpreter's environment or anywhere CMake looks
# (Debian: -DMLIR_DIR=/usr/lib/llvm-22/lib/cmake/mlir).

# The wheels are not on CMake's search path in a plain build; scikit-build-core's isolated build puts them there.
foreach(package MLIR LLVM)
  if(NOT ${package}_DIR AND NOT SKBUILD AND Python3_EXECUTABLE)
    string(TOLOWER ${package} name)
    execute_process(
      COMMAND ${Python3_EXECUTABLE} -c
              "import importlib.util as u; s = u.find_spec('${name}'); print(list(s.submodule_search_locations)[0] if s else '')"
      OUTPUT_VARIABLE root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(root AND EXISTS "${root}/lib/cmake/${name}")
      set(${package}_DIR "${root}/lib/cmake/${name}" CACHE PATH "")
    endif()
  endif()
endforeach()

# No version here: the wheels' version file answers "unknown" to any request, so LLVM_VERSION is checked instead.
find_package(MLIR REQUIRED CONFIG)
if(NOT LLVM_VERSION VERSION_GREATER_EQUAL 22 OR NOT LLVM_VERSION VERSION_LESS 23)
  message(FATAL_ERROR "Tessera needs MLIR 22.x; found ${LLVM_VERSION} in ${MLIR_DIR}")
endif()
message(STATUS "MLIR ${LLVM_VERSION} in ${MLIR_DIR}")

list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
set(LLVM_RUNTIME_OUTPUT_INTDIR "${CMAKE_BINARY_DIR}/bin")
set(LLVM_LIBRARY_OUTPUT_INTDIR "${CMAKE_BINARY_DIR}/lib")
set(MLIR_BINARY_DIR "${CMAKE_BINARY_DIR}")
# Build outputs are installed by our own rules only.
set(LLVM_INSTALL_TOOLCHAIN_ONLY ON)
set(LLVM_LINK_LLVM_DYLIB OFF)
set(MLIR_LINK_MLIR_DYLIB OFF)
include(TableGen)
include(AddLLVM)
include(AddMLIR)
include(HandleLLVMOptions)
# HandleLLVMOptions turns on many warnings that the headers of nanobind and MLIR themselves trip.
add_compile_options(-Wno-unused-parameter -Wno-missing-field-initializers)
include_directories(SYSTEM ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
include_directories(${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})

# The exported MLIR targets name the LLVM shared library, which is in the build wheel and absent once installed.
# Static component archives in its place make the outputs self-contained.
set(tessera_llvm_components Core Support BitReader BitWriter Passes Target TargetParser MC Analysis IRReader Linker
    AsmParser FrontendOpenMP OrcJIT ExecutionEngine ${LLVM_TARGETS_TO_BUILD})
llvm_map_components_to_libnames(tessera_llvm_archives ${tessera_llvm_components})
get_directory_property(imported IMPORTED_TARGETS)
foreach(target IN LISTS imported)
  foreach(property INTERFACE_LINK_LIBRARIES MLIR_AGGREGATE_DEP_LIBS_IMPORTED)
    get_target_property(libraries ${target} ${property})
    if(libraries MATCHES "(^|;|:)LLVM(;|>|$)")
      list(TRANSFORM libraries REPLACE "^(LLVM|\\$<LINK_ONLY:LLVM>)$" "tessera_llvm_static")
      set_target_properties(${target} PROPERTIES ${property} "${libraries}")
    endif()
  endforeach()
endforeach()
add_library(tessera_llvm_static INTERFACE)
target_link_libraries(tessera_llvm_static INTERFACE ${tessera_llvm_archives})
