// SPDX-License-Identifier: BSD-2-Clause
//
// Node's tls as a client that comes back.
//
// client.js PORT PAIRS: for each line "first" on standard input, visits the
// server PAIRS times without a session; for each "again", as often with the
// sessions of the first visits.  The server's answers go to standard output.
'use strict';

const readline = require('readline');
const tls = require('tls');

const [port, pairs] = process.argv.slice(2).map(Number);

// Resolves to the newest session: tickets come with or after the answer.
function visit(pair, session) {
	return new Promise((resolve, reject) => {
		let newest = session;
		const socket = tls.connect({
			host: '127.0.0.1',
			port,
			servername: `pair${pair}.test`,
			rejectUnauthorized: false,
			session,
		});
		socket.on('session', (its) => {
			newest = its;
		});
		socket.on('data', (bytes) => process.stdout.write(bytes));
		socket.on('error', reject);
		socket.on('close', () => resolve(newest));
		socket.write('GET / HTTP/1.1\r\n\r\n');
	});
}

async function main() {
	let sessions = new Array(pairs);

	for await (const line of readline.createInterface(process.stdin)) {
		if (line === 'first')
			sessions = new Array(pairs);
		for (let pair = 0; pair < pairs; pair++)
			sessions[pair] = await visit(pair, sessions[pair]);
	}
}

main();
