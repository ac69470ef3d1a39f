"""Receives webhooks on a free port of 127.0.0.1 and answers each with 200; writes the port to the file given."""
import http.server
import os
import sys


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = b"pong\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        print(self.path, self.headers.get("X-Chronos-Execution-ID"), body.decode(errors="replace"), flush=True)

    def log_message(self, format, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
temporary = sys.argv[1] + ".new"
with open(temporary, "w") as file:
    file.write(str(server.server_address[1]))
os.rename(temporary, sys.argv[1])
server.serve_forever()
