/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See ownkey.h.
 */
#include "ownkey.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "process.h"

static struct {
	unsigned char name[16];
	unsigned char aes[32];
	unsigned char hmac[32];
} key;

struct own_key own_key;

void
own_key_make(void)
{
	MUST(RAND_bytes(key.name, sizeof(key.name)) == 1);
	MUST(RAND_bytes(key.aes, sizeof(key.aes)) == 1);
	MUST(RAND_bytes(key.hmac, sizeof(key.hmac)) == 1);
	own_key = (struct own_key){ .sealed = 0 };
}

/* The cipher for a ticket: 1, 2 for one that is to be renewed, 0, or -1. */
static int
set_cipher(unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    int seal)
{
	if (seal) {
		own_key.sealed++;
		memcpy(name, key.name, sizeof(key.name));
		if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			return -1;
	} else {
		own_key.opened++;
		if (memcmp(name, key.name, sizeof(key.name)) != 0)
			return 0;
	}
	if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.aes, iv,
		seal) != 1)
		return -1;
	return seal ? 1 : 2;
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.hmac,
		    sizeof(key.hmac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
		    0),
		OSSL_PARAM_construct_end(),
	};

	(void)ssl;
	if (EVP_MAC_CTX_set_params(mac, params) != 1)
		return -1;
	return set_cipher(name, iv, cipher, seal);
}

void
own_key_set(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}

#ifndef OPENSSL_NO_DEPRECATED_3_0
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int
on_old_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, HMAC_CTX *hmac, int seal)
{
	(void)ssl;
	if (HMAC_Init_ex(hmac, key.hmac, sizeof(key.hmac), EVP_sha256(),
		NULL) != 1)
		return -1;
	return set_cipher(name, iv, cipher, seal);
}

void
own_key_set_by_old_callback(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_tlsext_ticket_key_cb(ctx, on_old_ticket);
}

#pragma GCC diagnostic pop
#endif
