/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See quiet.h.
 */
#include "openssl/quiet.h"

#include <errno.h>

#include <openssl/async.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

void
sc_quiet_begin(struct sc_quiet *quiet)
{
	quiet->saved_errno = errno;
	(void)ERR_set_mark();
	ASYNC_block_pause();
}

void
sc_quiet_end(const struct sc_quiet *quiet)
{
	ASYNC_unblock_pause();
	(void)ERR_pop_to_mark();
	errno = quiet->saved_errno;
}

static char *
copy_string(const char *string)
{
	return string != NULL ? OPENSSL_strdup(string) : NULL;
}

void
sc_aside_begin(struct sc_aside *aside)
{
	const char *file, *function, *text;
	int line, flags;
	unsigned long code;

	aside->saved_errno = errno;
	for (aside->n = 0; aside->n < SC_MAX_ERRORS; aside->n++) {
		code = ERR_get_error_all(&file, &line, &function, &text,
		    &flags);
		if (code == 0)
			break;
		if ((flags & ERR_TXT_STRING) == 0)
			text = NULL;
		aside->errors[aside->n] = (struct sc_saved_error){
			.code = code,
			.file = copy_string(file),
			.function = copy_string(function),
			.text = copy_string(text),
			.line = line,
		};
	}
}

static void
restore(struct sc_saved_error *saved)
{
	ERR_new();
	ERR_set_debug(saved->file, saved->line, saved->function);
	if (saved->text != NULL)
		ERR_set_error(ERR_GET_LIB(saved->code),
		    ERR_GET_REASON(saved->code), "%s", saved->text);
	else
		ERR_set_error(ERR_GET_LIB(saved->code),
		    ERR_GET_REASON(saved->code), NULL);
	OPENSSL_free(saved->file);
	OPENSSL_free(saved->function);
	OPENSSL_free(saved->text);
}

void
sc_aside_end(struct sc_aside *aside)
{
	ERR_clear_error();
	for (size_t i = 0; i < aside->n; i++)
		restore(&aside->errors[i]);
	errno = aside->saved_errno;
}
