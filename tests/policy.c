/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See policy.h.
 */
#include "policy.h"

#include <string.h>

#include <openssl/x509v3.h>

#include "pki.h"
#include "process.h"
#include "support.h"

#define TRUST(who) (1U << (who))
#define AES_128 "ECDHE-ECDSA-AES128-GCM-SHA256"
#define AES_256 "ECDHE-ECDSA-AES256-GCM-SHA384"
#define SUITE_128 "TLS_AES_128_GCM_SHA256"
#define SUITE_256 "TLS_AES_256_GCM_SHA384"

enum {
	ASKED = SSL_VERIFY_PEER,
	REQUIRED = ASKED | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	LATER = REQUIRED | SSL_VERIFY_POST_HANDSHAKE,
	USUAL_DEPTH = 100,
	ALL_FLAGS = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_PARTIAL_CHAIN,
};

static struct tls_identity identities[N_WHO];
static X509_CRL *crls[CRL_OF_MEMBER + 1];

/* As one does while trying a server out, and forgets. */
static int
believe(int verified, X509_STORE_CTX *store)
{
	(void)verified, (void)store;
	return 1;
}

static int
pass_on(int verified, X509_STORE_CTX *store)
{
	(void)store;
	return verified;
}

/* Of a host whose clients belong to the staff. */
#define OF_STAFF .leaf = HOST_A, .verify = REQUIRED, .trusted = TRUST(STAFF)

/* --- the pairs ------------------------------------------------------------ */

const struct policy_pair policy_pairs[] = {
	{ "server's names", NAMES, NO_ONE, .one = { .leaf = HOST_A },
	    .two = { .leaf = HOST_B } },
	{ "server's names, one more", COVERED, NO_ONE,
	    .one = { .leaf = HOST_A }, .two = { .leaf = HOST_A_MORE } },
	{ "server's key", RENEWAL, NO_ONE, .one = { .leaf = HOST_A },
	    .two = { .leaf = HOST_A_RENEWED } },
	{ "server's names, clients required", CLIENTS, MEMBER,
	    .one = { OF_STAFF },
	    .two = { .leaf = HOST_B,
		.verify = REQUIRED,
		.trusted = TRUST(STAFF) } },
	{ "certificate by callback", SUPPLIER, NO_ONE, .fixed = true,
	    .one = { .leaf = HOST_A },
	    .two = { .leaf = HOST_A, .by_callback = true } },
	{ "another certificate by callback", SUPPLIER, NO_ONE,
	    .one = { .leaf = HOST_A, .by_callback = true },
	    .two = { .leaf = HOST_B, .by_callback = true } },
	{ "asked, clients without", CLIENTS, NO_ONE, .one = { .leaf = HOST_A },
	    .two = { .leaf = HOST_A,
		.verify = ASKED,
		.trusted = TRUST(STAFF) } },
	{ "asked, clients with", CLIENTS, MEMBER, .one = { .leaf = HOST_A },
	    .two = { .leaf = HOST_A,
		.verify = ASKED,
		.trusted = TRUST(STAFF) } },
	{ "required, clients without", CLIENTS, NO_ONE, .refused = true,
	    .one = { .leaf = HOST_A }, .two = { OF_STAFF } },
	{ "required, clients with", CLIENTS, MEMBER, .one = { .leaf = HOST_A },
	    .two = { OF_STAFF } },
	{ "required, no more only asked, clients without", CLIENTS, NO_ONE,
	    .refused = true,
	    .one = { .leaf = HOST_A, .verify = ASKED, .trusted = TRUST(STAFF) },
	    .two = { OF_STAFF } },
	{ "required at once, no more later, clients without", CLIENTS, NO_ONE,
	    .version = TLS1_3_VERSION, .refused = true,
	    .one = { .leaf = HOST_A, .verify = LATER, .trusted = TRUST(STAFF) },
	    .two = { OF_STAFF } },
	{ "required at once, no more later, clients with", CLIENTS, MEMBER,
	    .one = { .leaf = HOST_A, .verify = LATER, .trusted = TRUST(STAFF) },
	    .two = { OF_STAFF } },
	{ "depth", CLIENTS, SUBMEMBER, .refused = true,
	    .one = { .leaf = HOST_A,
		.verify = REQUIRED,
		.depth = 5,
		.trusted = TRUST(STAFF) },
	    .two = { .leaf = HOST_A,
		.verify = REQUIRED,
		.depth = -1,
		.trusted = TRUST(STAFF) } },
	{ "another authority", CLIENTS, MEMBER, .refused = true,
	    .one = { OF_STAFF },
	    .two = { .leaf = HOST_A,
		.verify = REQUIRED,
		.trusted = TRUST(PARTNERS) } },
	{ "an authority less", CLIENTS, MEMBER, .refused = true,
	    .one = { OF_STAFF | TRUST(PARTNERS) },
	    .two = { .leaf = HOST_A,
		.verify = REQUIRED,
		.trusted = TRUST(PARTNERS) } },
	{ "an authority less, only asked", CLIENTS, MEMBER, .refused = true,
	    .one = { .leaf = HOST_A,
		.verify = ASKED,
		.trusted = TRUST(STAFF) | TRUST(PARTNERS) },
	    .two = { .leaf = HOST_A,
		.verify = ASKED,
		.trusted = TRUST(PARTNERS) } },
	{ "an authority with another key", CLIENTS, MEMBER, .refused = true,
	    .one = { OF_STAFF, .authorities = "Staff" },
	    .two = { .leaf = HOST_A,
		.verify = REQUIRED,
		.trusted = TRUST(STAFF_AGAIN),
		.authorities = "Staff" } },
	{ "partial chains no more", CLIENTS, SUBMEMBER, .refused = true,
	    .one = { .leaf = HOST_A,
		.verify = REQUIRED,
		.trusted = TRUST(DEPARTMENT),
		.flags = X509_V_FLAG_PARTIAL_CHAIN },
	    .two = { .leaf = HOST_A,
		.verify = REQUIRED,
		.trusted = TRUST(DEPARTMENT) } },
	{ "CRL check, without a CRL", CLIENTS, MEMBER, .refused = true,
	    .one = { OF_STAFF },
	    .two = { OF_STAFF, .flags = X509_V_FLAG_CRL_CHECK } },
	{ "CRL check, with a CRL there", CLIENTS, MEMBER, .refused = true,
	    .one = { OF_STAFF, .crl = CRL_OF_MEMBER },
	    .two = { OF_STAFF, .crl = CRL_OF_MEMBER,
		.flags = X509_V_FLAG_CRL_CHECK } },
	{ "another CRL", CLIENTS, MEMBER, .refused = true,
	    .one = { OF_STAFF, .crl = CRL_OF_NOTHING,
		.flags = X509_V_FLAG_CRL_CHECK },
	    .two = { OF_STAFF, .crl = CRL_OF_MEMBER,
		.flags = X509_V_FLAG_CRL_CHECK } },
	{ "a CRL more", CLIENTS, MEMBER, .refused = true, .grows = true,
	    .one = { OF_STAFF, .crl = CRL_OF_NOTHING,
		.flags = X509_V_FLAG_CRL_CHECK },
	    .two = { OF_STAFF, .crl = CRL_OF_MEMBER,
		.flags = X509_V_FLAG_CRL_CHECK } },
	{ "verify callback, strict no more lax", CALLBACK, STRANGER,
	    .refused = true,
	    .one = { .leaf = HOST_A,
		.verify = REQUIRED,
		.callback = believe,
		.trusted = TRUST(STAFF) },
	    .two = { .leaf = HOST_A,
		.verify = REQUIRED,
		.callback = pass_on,
		.trusted = TRUST(STAFF) } },
	{ "verify callback, no more lax", CLIENTS, STRANGER, .refused = true,
	    .one = { .leaf = HOST_A,
		.verify = REQUIRED,
		.callback = believe,
		.trusted = TRUST(STAFF) },
	    .two = { OF_STAFF } },
	{ "host of clients", CLIENTS, MEMBER, .refused = true,
	    .one = { OF_STAFF }, .two = { OF_STAFF, .host = "other.example" } },
	{ "another host of clients", CLIENTS, MEMBER, .refused = true,
	    .one = { OF_STAFF, .host = "member.example" },
	    .two = { OF_STAFF, .host = "other.example" } },
	{ "e-mail of clients", CLIENTS, MEMBER, .refused = true,
	    .one = { OF_STAFF },
	    .two = { OF_STAFF, .email = "other@example" } },
	{ "purpose of clients", UNSEEN, MEMBER, .refused = true,
	    .one = { OF_STAFF, .purpose = X509_PURPOSE_SSL_CLIENT },
	    .two = { OF_STAFF, .purpose = X509_PURPOSE_SMIME_SIGN } },
	{ "list of authorities", HINT, MEMBER,
	    .one = { OF_STAFF, .authorities = "Staff" },
	    .two = { OF_STAFF, .authorities = "Partners" } },
	{ "session ID context", ID_CONTEXT, NO_ONE,
	    .one = { .leaf = HOST_A, .id_context = "one" },
	    .two = { .leaf = HOST_A, .id_context = "two" } },
	{ "realm", REALM, NO_ONE, .fixed = true,
	    .one = { .leaf = HOST_A, .realm = "shop" },
	    .two = { .leaf = HOST_A, .realm = "bakery" } },
	{ "no realm", REALM, NO_ONE, .fixed = true,
	    .one = { .leaf = HOST_A, .realm = "shop" },
	    .two = { .leaf = HOST_A } },
	{ "realm, clients required", REALM, MEMBER, .fixed = true,
	    .one = { OF_STAFF, .realm = "shop" },
	    .two = { OF_STAFF, .realm = "bakery" } },
	{ "cipher", DISJOINT, NO_ONE,
	    .one = { .leaf = HOST_A,
		.cipher = AES_128,
		.ciphersuite = SUITE_128 },
	    .two = { .leaf = HOST_A,
		.cipher = AES_256,
		.ciphersuite = SUITE_256 } },
	{ "security level", NARROWER, NO_ONE, .groups = "P-384",
	    .one = { .leaf = HOST_A_LARGE, .level = 2 },
	    .two = { .leaf = HOST_A_LARGE, .level = 4 } },
	{ "extended master secret", NARROWER, NO_ONE, .version = TLS1_2_VERSION,
	    .one = { .leaf = HOST_A },
	    .two = { .leaf = HOST_A,
		.options = SSL_OP_NO_EXTENDED_MASTER_SECRET } },
};

const int policy_pairs_count = (int)(sizeof(policy_pairs) /
    sizeof(policy_pairs[0]));

bool
policy_asks(const struct policy *policy)
{
	return (policy->verify & SSL_VERIFY_PEER) != 0;
}

/* --- the identities ------------------------------------------------------- */

static const struct {
	enum who who;
	enum who issuer; /* an earlier one */
	struct pki_request request;
} requests[] = {
	{ STAFF, NO_ONE, { .name = "Staff", .authority = true } },
	{ PARTNERS, NO_ONE, { .name = "Partners", .authority = true } },
	{ STAFF_AGAIN, NO_ONE, { .name = "Staff", .authority = true } },
	{ DEPARTMENT, STAFF, { .name = "Department", .authority = true } },
	{ FRONT, NO_ONE, { .name = "front", .san = "DNS:front.example" } },
	{ HOST_A, NO_ONE, { .name = "a", .san = "DNS:a.example" } },
	{ HOST_A_RENEWED, NO_ONE, { .name = "a", .san = "DNS:a.example" } },
	{ HOST_A_MORE, NO_ONE,
	    { .name = "a", .san = "DNS:www.a.example,DNS:a.example" } },
	{ HOST_A_LARGE, NO_ONE,
	    { .name = "a", .san = "DNS:a.example", .curve = "P-384" } },
	{ HOST_B, NO_ONE, { .name = "b", .san = "DNS:b.example" } },
	{ MEMBER, STAFF,
	    { .name = "member",
		.san = "DNS:member.example,email:member@example",
		.usage = "clientAuth" } },
	{ SUBMEMBER, DEPARTMENT,
	    { .name = "submember", .usage = "clientAuth" } },
	{ STRANGER, NO_ONE,
	    { .name = "stranger",
		.issuer_name = "Staff",
		.usage = "clientAuth" } },
};

void
policy_world_make(void)
{
	struct pki_request request;
	enum who who, issuer;

	test_root_make();
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		request = requests[i].request;
		who = requests[i].who;
		issuer = requests[i].issuer;
		if (issuer != NO_ONE)
			request.issuer = &identities[issuer];
		MUST(pki_issue(&identities[who], &request));
	}
	crls[CRL_OF_NOTHING] = pki_revoke(&identities[STAFF], NULL);
	crls[CRL_OF_MEMBER] = pki_revoke(&identities[STAFF],
	    identities[MEMBER].cert);
	MUST(crls[CRL_OF_NOTHING] != NULL && crls[CRL_OF_MEMBER] != NULL);
}

void
policy_world_remove(void)
{
	for (int i = 0; i < N_WHO; i++)
		tls_identity_free(&identities[i]);
	for (int i = 0; i <= CRL_OF_MEMBER; i++) {
		X509_CRL_free(crls[i]);
		crls[i] = NULL;
	}
	test_root_remove();
}

const struct tls_identity *
policy_identity(enum who who)
{
	return &identities[who];
}

/* --- contexts ------------------------------------------------------------- */

static int
supply(SSL *ssl, void *arg)
{
	const struct tls_identity *identity = arg;

	return SSL_use_certificate(ssl, identity->cert) == 1 &&
	    SSL_use_PrivateKey(ssl, identity->key) == 1;
}

static void
apply_certificate(SSL_CTX *ctx, const struct policy *policy)
{
	if (policy->by_callback)
		SSL_CTX_set_cert_cb(ctx, supply, &identities[policy->leaf]);
	else
		MUST(tls_add_identity(ctx, &identities[policy->leaf]));
}

static void
apply_trust(SSL_CTX *ctx, const struct policy *policy, bool grows)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);

	if (!grows && policy->trusted != 0) {
		store = X509_STORE_new();
		MUST(store != NULL);
		SSL_CTX_set_cert_store(ctx, store);
	}
	for (int i = 0; i < N_WHO && !grows; i++) {
		if ((policy->trusted & TRUST(i)) != 0)
			MUST(X509_STORE_add_cert(store, identities[i].cert) ==
			    1);
	}
	if (policy->crl != NO_CRL)
		MUST(X509_STORE_add_crl(store, crls[policy->crl]) == 1);
}

static void
apply_parameters(SSL_CTX *ctx, const struct policy *policy)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	MUST(X509_VERIFY_PARAM_clear_flags(param, ALL_FLAGS) == 1);
	MUST(X509_VERIFY_PARAM_set_flags(param, policy->flags) == 1);
	MUST(X509_VERIFY_PARAM_set1_host(param, policy->host, 0) == 1);
	MUST(X509_VERIFY_PARAM_set1_email(param, policy->email, 0) == 1);
	if (policy->purpose != 0)
		MUST(
		    X509_VERIFY_PARAM_set_purpose(param, policy->purpose) == 1);
}

static void
apply_protocol(SSL_CTX *ctx, const struct policy *policy)
{
	const char *id_context = policy->id_context;

	if (policy->level != 0)
		SSL_CTX_set_security_level(ctx, policy->level);
	if (policy->cipher != NULL)
		MUST(SSL_CTX_set_cipher_list(ctx, policy->cipher) == 1);
	if (policy->ciphersuite != NULL)
		MUST(SSL_CTX_set_ciphersuites(ctx, policy->ciphersuite) == 1);
	if (id_context != NULL)
		MUST(SSL_CTX_set_session_id_context(ctx,
			 (const unsigned char *)id_context,
			 (unsigned)strlen(id_context)) == 1);
	SSL_CTX_clear_options(ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	SSL_CTX_set_options(ctx, policy->options);
}

void
policy_apply(SSL_CTX *ctx, const struct policy *policy, bool grows)
{
	int depth = policy->depth;

	if (depth == 0)
		depth = USUAL_DEPTH;
	apply_protocol(ctx, policy);
	apply_certificate(ctx, policy);
	apply_trust(ctx, policy, grows);
	apply_parameters(ctx, policy);
	if (policy->authorities != NULL)
		MUST(tls_name_authority(ctx, policy->authorities));
	SSL_CTX_set_verify_depth(ctx, depth > 0 ? depth : 0);
	SSL_CTX_set_verify(ctx, policy->verify, policy->callback);
}

SSL_CTX *
policy_server_new(const struct policy *policy, int version)
{
	SSL_CTX *ctx = tls_server_new(NULL, version);

	MUST(ctx != NULL);
	policy_apply(ctx, policy, false);
	return ctx;
}

SSL_CTX *
policy_client_new(enum who who, const char *groups, int version)
{
	SSL_CTX *ctx = tls_client_new(who != NO_ONE ? &identities[who] : NULL,
	    version);

	MUST(ctx != NULL);
	if (who == SUBMEMBER)
		MUST(SSL_CTX_add1_chain_cert(ctx,
			 identities[DEPARTMENT].cert) == 1);
	if (groups != NULL)
		MUST(SSL_CTX_set1_groups_list(ctx, groups) == 1);
	MUST(SSL_CTX_set_cipher_list(ctx, AES_128 ":" AES_256) == 1);
	MUST(SSL_CTX_set_ciphersuites(ctx, SUITE_128 ":" SUITE_256) == 1);
	return ctx;
}

bool
policy_switch(SSL *ssl, SSL_CTX *ctx)
{
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx),
	    SSL_CTX_get_verify_callback(ctx));
	SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(ctx));
	return SSL_set_SSL_CTX(ssl, ctx) == ctx &&
	    SSL_set1_param(ssl, SSL_CTX_get0_param(ctx)) == 1;
}
