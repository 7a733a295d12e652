"""Passes requests on with a token: for clients that have no way to send one of ours.

Arguments: the exchange's address, a token. Prints the port it listens on.
"""

import http.client
import http.server
import sys

address, token = sys.argv[1:]


class Passing(http.server.BaseHTTPRequestHandler):
    def passed(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        ahead = http.client.HTTPConnection(address, timeout=60)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        ahead.request(self.command, self.path, body, headers)
        answer = ahead.getresponse()
        said = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = passed

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Passing)
print(server.server_address[1], flush=True)
server.serve_forever()
