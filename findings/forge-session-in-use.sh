#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# node-forge 1.4.3 (npm), a TLS library in JavaScript, as a server with a
# session cache (the option sessionCache of forge.tls.createConnection()):
#
# - A session is in the cache only when its first connection has been closed.
#   A client that opens a second connection beside the first is told a new
#   session ID: a full handshake.
# - A lookup takes the session out of the cache, and it comes back when that
#   connection has been closed.  Of two connections that offer the same session
#   ID at the same time, one resumes.
#
# RFC 5246, section 7, has many connections of one session, also at one time,
# which is what browsers do, and the caches of OpenSSL, GnuTLS and NSS allow it.
# So who tests a cache of session IDs against this library sees misses that are
# not the cache's.
#
# Seen on Node.js 20.20.2:
#
#	first connection open: 0 in the cache, a second one: full
#	first connection closed: 1 in the cache
#	two that come back at once: resumed, full
#	both closed, one that comes back: resumed
#
# Exit status 0: as seen; 1: it has changed; 77: there is no node or npm.
set -eu

for program in node npm; do
	command -v $program >/dev/null || {
		echo "skipped: no $program"
		exit 77
	}
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund node-forge@1.4.3

cat >visits.js <<'END'
'use strict';
const crypto = require('crypto');
const forge = require('node-forge');

function makeIdentity() {
  const made = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = made.privateKey.export({ type: 'pkcs1', format: 'pem' });
  const key = forge.pki.privateKeyFromPem(pem);
  const cert = forge.pki.createCertificate();
  const name = [{ name: 'commonName', value: 'server.example' }];
  const { notBefore, notAfter } = cert.validity;

  cert.publicKey = forge.pki.setRsaPublicKey(key.n, key.e);
  notAfter.setFullYear(notBefore.getFullYear() + 1);
  cert.setSubject(name);
  cert.setIssuer(name);
  cert.sign(key, forge.md.sha256.create());
  return { key: pem, cert: forge.pki.certificateToPem(cert) };
}

const identity = makeIdentity();
const cache = forge.tls.createSessionCache({}, 100);

// A client's own, with the session that it offers, or none.
function cacheOf(session) {
  const own = forge.tls.createSessionCache({}, 1);

  if (session)
    own.setSession(session.id, { ...session, sp: { ...session.sp } });
  return own;
}

// Both ends, joined, after their handshake.
function connect(session) {
  const both = {
    closed() {},
    connected() {},
    dataReady() {},
    error(connection, error) { throw new Error(error.message); },
  };
  const ends = {};

  ends.client = forge.tls.createConnection({
    ...both,
    server: false,
    caStore: [identity.cert],
    sessionCache: cacheOf(session),
    verify: () => true,
    tlsDataReady: (end) => ends.server.process(end.tlsData.getBytes()),
  });
  ends.server = forge.tls.createConnection({
    ...both,
    server: true,
    sessionCache: cache,
    getCertificate: () => identity.cert,
    getPrivateKey: () => identity.key,
    tlsDataReady: (end) => ends.client.process(end.tlsData.getBytes()),
  });
  ends.client.handshake(session ? session.id : null);
  if (!ends.client.isConnected || !ends.server.isConnected)
    throw new Error('no connection');
  return ends;
}

function how(ends, session) {
  return ends.server.session.id === session.id ? 'resumed' : 'full';
}

const first = connect(null);
const session = first.client.session;
console.log(`first connection open: ${cache.order.length} in the cache, ` +
  `a second one: ${how(connect(session), session)}`);
first.client.close();
console.log(`first connection closed: ${cache.order.length} in the cache`);
const pair = [connect(session), connect(session)];
console.log('two that come back at once: ' +
  pair.map((ends) => how(ends, session)).join(', '));
pair.forEach((ends) => ends.client.close());
console.log('both closed, one that comes back: ' +
  how(connect(session), session));
END

cat >seen <<'END'
first connection open: 0 in the cache, a second one: full
first connection closed: 1 in the cache
two that come back at once: resumed, full
both closed, one that comes back: resumed
END
node visits.js >now
diff seen now
echo "node-forge 1.4.3, Node.js $(node --version): as seen"
