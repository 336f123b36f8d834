# SPDX-License-Identifier: MIT
#
# To be included by a folder whose programs run in guests: it forgets every flag that the preset and the
# folders above have set (sanitizers, coverage, FORTIFY, PIE), which must not reach them.
foreach(config "" _DEBUG _RELEASE _RELWITHDEBINFO _MINSIZEREL)
	set(CMAKE_C_FLAGS${config} "")
	set(CMAKE_ASM_FLAGS${config} "")
	set(CMAKE_EXE_LINKER_FLAGS${config} "")
endforeach()
string(TOUPPER "_${CMAKE_BUILD_TYPE}" config)
set(CMAKE_C_FLAGS${config} "")
set(CMAKE_ASM_FLAGS${config} "")
set(CMAKE_EXE_LINKER_FLAGS${config} "")
set(CMAKE_C_STANDARD_LIBRARIES "")
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
set(CMAKE_INTERPROCEDURAL_OPTIMIZATION OFF)
set(CMAKE_INTERPROCEDURAL_OPTIMIZATION${config} OFF)
set_directory_properties(PROPERTIES
	COMPILE_OPTIONS "" COMPILE_DEFINITIONS "" COMPILE_DEFINITIONS${config} ""
	INCLUDE_DIRECTORIES "" LINK_OPTIONS "" LINK_DIRECTORIES "")
unset(CMAKE_C_STANDARD)
