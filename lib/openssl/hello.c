/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See hello.h.
 */
#include "openssl/hello.h"

#include <string.h>

#include <openssl/tls1.h>

enum { NAME_AT = 5 /* bytes of a list of one name before it */ };

static void
set_name(struct sc_name *out, const char *name, size_t len)
{
	size_t n = len <= SC_NAME_MAX ? len : 0;

	for (size_t i = 0; i < n; i++)
		out->text[i] = name[i] >= 'A' && name[i] <= 'Z' ?
		    (char)(name[i] - 'A' + 'a') :
		    name[i];
	out->text[n] = '\0';
	out->len = n;
}

/* One that is malformed is none: OpenSSL will end the handshake. */
void
sc_name_read(struct sc_name *out, SSL *ssl)
{
	const unsigned char *ext = NULL;
	size_t ext_len, len = 0;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext,
		&ext_len) == 1 &&
	    ext_len >= NAME_AT && ext[2] == TLSEXT_NAMETYPE_host_name) {
		len = (size_t)ext[3] << 8 | ext[4];
		if (len != ext_len - NAME_AT)
			len = 0;
	}
	set_name(out, len > 0 ? (const char *)ext + NAME_AT : "", len);
}

void
sc_name_recall(struct sc_name *out, const SSL *ssl)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	set_name(out, name, name != NULL ? strlen(name) : 0);
}

bool
sc_hello_brings_early_data(SSL *ssl)
{
	const unsigned char *ext;
	size_t len;

	return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_early_data, &ext,
		   &len) == 1;
}
