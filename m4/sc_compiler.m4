# SPDX-License-Identifier: BSD-2-Clause

# SC_TRY_FLAG(VARIABLE, FLAG, [KIND = CFLAGS])
# Append FLAG to VARIABLE if compiler and linker take it without a warning.
# KIND is the variable through which it is tried: CFLAGS or LDFLAGS.
AC_DEFUN([SC_TRY_FLAG], [
AS_VAR_PUSHDEF([sc_cache], [sc_cv_flag_$2])
AC_CACHE_CHECK([whether $CC takes $2], [sc_cache], [
	sc_saved=$m4_default([$3], [CFLAGS])
	m4_default([$3], [CFLAGS])="$sc_saved -Werror $2"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
	    [AS_VAR_SET([sc_cache], [yes])], [AS_VAR_SET([sc_cache], [no])])
	m4_default([$3], [CFLAGS])=$sc_saved
])
AS_VAR_IF([sc_cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
AS_VAR_POPDEF([sc_cache])
])

# SC_WARNINGS
# SC_WARN_CFLAGS: the warnings that the code is kept free of.
AC_DEFUN([SC_WARNINGS], [
AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [make warnings errors])],
    [], [enable_werror=no])
SC_WARN_CFLAGS=
m4_foreach_w([sc_flag], [-Wall -Wextra -Wconversion -Wsign-conversion -Wshadow
    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2
    -Wimplicit-fallthrough -Wlogical-op -Wduplicated-cond
    -Wnull-dereference -Wdouble-promotion],
    [SC_TRY_FLAG([SC_WARN_CFLAGS], sc_flag)])
AS_IF([test "x$enable_werror" = xyes],
    [AS_VAR_APPEND([SC_WARN_CFLAGS], [" -Werror"])])
AC_SUBST([SC_WARN_CFLAGS])
])

# SC_HARDENING
# SC_HARDEN_CPPFLAGS, SC_HARDEN_CFLAGS, SC_HARDEN_LDFLAGS: for everything;
# SC_PIE_CFLAGS, SC_PIE_LDFLAGS: for programs that are installed.
# tests/hardening.sh looks for the result in what was built.
AC_DEFUN([SC_HARDENING], [
SC_HARDEN_CPPFLAGS=
SC_HARDEN_CFLAGS=
SC_HARDEN_LDFLAGS=
SC_TRY_FLAG([SC_HARDEN_CFLAGS], [-fstack-protector-strong])
SC_TRY_FLAG([SC_HARDEN_CFLAGS], [-fstack-clash-protection])
SC_TRY_FLAG([SC_HARDEN_CFLAGS], [-fcf-protection])
SC_TRY_FLAG([SC_HARDEN_LDFLAGS], [-Wl,-z,relro], [LDFLAGS])
SC_TRY_FLAG([SC_HARDEN_LDFLAGS], [-Wl,-z,now], [LDFLAGS])
SC_TRY_FLAG([SC_HARDEN_LDFLAGS], [-Wl,-z,noexecstack], [LDFLAGS])
# A sanitizer resolves its symbols at run time, and checks what
# _FORTIFY_SOURCE would hide from it.
AS_IF([test "x$sc_sanitizer" = xno], [
	SC_TRY_FLAG([SC_HARDEN_LDFLAGS], [-Wl,-z,defs], [LDFLAGS])
	AC_MSG_CHECKING([whether the compiler optimises])
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
#ifndef __OPTIMIZE__
#error no
#endif
	    ]], [])],
	    [AC_MSG_RESULT([yes])
	     SC_HARDEN_CPPFLAGS="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"],
	    [AC_MSG_RESULT([no])])
])
AC_CACHE_CHECK([whether $CC makes position independent programs],
    [sc_cv_pie], [
	sc_saved=$CFLAGS
	CFLAGS="$sc_saved -Werror -fPIE -pie"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [sc_cv_pie=yes],
	    [sc_cv_pie=no])
	CFLAGS=$sc_saved
])
AS_IF([test "x$sc_cv_pie" = xyes],
    [SC_PIE_CFLAGS=-fPIE
     SC_PIE_LDFLAGS=-pie])
AC_SUBST([SC_HARDEN_CPPFLAGS])
AC_SUBST([SC_HARDEN_CFLAGS])
AC_SUBST([SC_HARDEN_LDFLAGS])
AC_SUBST([SC_PIE_CFLAGS])
AC_SUBST([SC_PIE_LDFLAGS])
])

# SC_ARG_SANITIZER
# SC_SAN_CFLAGS: for compiling and linking.
AC_DEFUN([SC_ARG_SANITIZER], [
AC_ARG_WITH([sanitizer],
    [AS_HELP_STRING([--with-sanitizer=LIST],
        [build with sanitizers: "address,undefined" or "thread"])],
    [], [with_sanitizer=no])
sc_sanitizer=$with_sanitizer
SC_SAN_CFLAGS=
AS_CASE([$sc_sanitizer],
    [no], [],
    [yes], [AC_MSG_ERROR([--with-sanitizer needs a list])],
    [SC_SAN_CFLAGS="-fsanitize=$sc_sanitizer -fno-omit-frame-pointer"
     AS_VAR_APPEND([SC_SAN_CFLAGS], [" -fno-sanitize-recover=all"])
     AC_MSG_CHECKING([whether $CC builds with $SC_SAN_CFLAGS])
     sc_saved=$CFLAGS
     CFLAGS="$CFLAGS $SC_SAN_CFLAGS"
     AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes])],
         [AC_MSG_RESULT([no])
          AC_MSG_ERROR([$CC cannot build with -fsanitize=$sc_sanitizer])])
     CFLAGS=$sc_saved])
AC_SUBST([SC_SAN_CFLAGS])
AC_SUBST([SC_SANITIZER], [$sc_sanitizer])
])

# SC_ARG_COVERAGE
# SC_COV_CFLAGS: for compiling and linking.
AC_DEFUN([SC_ARG_COVERAGE], [
AC_ARG_ENABLE([coverage],
    [AS_HELP_STRING([--enable-coverage],
        [count lines and branches, for "make coverage" (needs gcovr)])],
    [], [enable_coverage=no])
sc_coverage=$enable_coverage
SC_COV_CFLAGS=
AS_IF([test "x$sc_coverage" = xyes],
    [SC_COV_CFLAGS="--coverage -fprofile-update=atomic -DSC_COVERAGE"])
AC_SUBST([SC_COV_CFLAGS])
])
