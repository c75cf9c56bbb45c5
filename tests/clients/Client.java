// SPDX-License-Identifier: BSD-2-Clause

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedTrustManager;

/**
 * Java's JSSE as a client that comes back.
 *
 * Client PORT PAIRS: for each line "first" on standard input, visits the
 * server PAIRS times without a session; for each "again", as often with the
 * sessions of the first visits, which JSSE keeps in the SSLContext under the
 * name of the server.  The server's answers go to standard output.
 */
public final class Client {
	private static final byte[] REQUEST = "GET / HTTP/1.1\r\n\r\n"
	    .getBytes(StandardCharsets.US_ASCII);
	private static final int PATIENCE_MS = 20000;

	private Client() {
	}

	/** Who the server is does not matter here. */
	private static final class Trusting extends X509ExtendedTrustManager {
		@Override
		public void checkClientTrusted(X509Certificate[] chain,
		    String type) {
		}

		@Override
		public void checkServerTrusted(X509Certificate[] chain,
		    String type) {
		}

		@Override
		public void checkClientTrusted(X509Certificate[] chain,
		    String type, Socket socket) {
		}

		@Override
		public void checkServerTrusted(X509Certificate[] chain,
		    String type, Socket socket) {
		}

		@Override
		public void checkClientTrusted(X509Certificate[] chain,
		    String type, SSLEngine engine) {
		}

		@Override
		public void checkServerTrusted(X509Certificate[] chain,
		    String type, SSLEngine engine) {
		}

		@Override
		public X509Certificate[] getAcceptedIssuers() {
			return new X509Certificate[0];
		}
	}

	private static SSLContext newContext() throws Exception {
		SSLContext context = SSLContext.getInstance("TLS");

		context.init(null, new TrustManager[] { new Trusting() }, null);
		return context;
	}

	private static void visit(SSLContext context, int port, int pair)
	    throws Exception {
		Socket raw = new Socket("127.0.0.1", port);

		raw.setSoTimeout(PATIENCE_MS);
		try (SSLSocket tls = (SSLSocket)context.getSocketFactory()
		    .createSocket(raw, "pair" + pair + ".test", port, true)) {
			tls.getOutputStream().write(REQUEST);
			System.out.write(tls.getInputStream().readAllBytes());
			System.out.flush();
		}
	}

	public static void main(String[] args) throws Exception {
		BufferedReader lines = new BufferedReader(
		    new InputStreamReader(System.in));
		int port = Integer.parseInt(args[0]);
		int pairs = Integer.parseInt(args[1]);
		SSLContext context;
		String line;

		/* Some releases offer no TLS 1.2 tickets unless told to. */
		System.setProperty("jdk.tls.client.enableSessionTicketExtension",
		    "true");
		context = newContext();
		while ((line = lines.readLine()) != null) {
			if (line.equals("first"))
				context = newContext();
			for (int pair = 0; pair < pairs; pair++)
				visit(context, port, pair);
		}
	}
}
