"""Certificates made on the fly by the openssl command."""
import pathlib
import ssl
import subprocess


class Authority:
    """A CA of the tests' own, and what it issues."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.cert = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                      "-subj", "/CN=larder test CA", "-keyout", self.key,
                      "-out", self.cert)

    def _openssl(self, *args):
        subprocess.run(["openssl", *map(str, args)], check=True,
                       capture_output=True, stdin=subprocess.DEVNULL)

    def issue(self, label, names, self_signed=False, expired=False):
        """A server context for these names (DNS:… or IP:…)."""
        key, csr = self.folder / f"{label}.key", self.folder / f"{label}.csr"
        cert, ext = self.folder / f"{label}.pem", self.folder / f"{label}.ext"
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                      f"/CN={label}", "-keyout", key, "-out", csr)
        ext.write_text("subjectAltName=" + ",".join(names) + "\n")
        if self_signed:
            signer = ["-signkey", key]
        else:
            signer = ["-CA", self.cert, "-CAkey", self.key, "-CAcreateserial"]
        # A negative number of days ends before it began.
        self._openssl("x509", "-req", "-in", csr, *signer, "-days",
                      "-1" if expired else "20", "-extfile", ext, "-out", cert)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return context

    def client_context(self):
        return ssl.create_default_context(cafile=str(self.cert))
