"""A reader and a writer of mail, by the clients that Python brings along.

    mail.py smtp WAY PORT CA               sends two mails in one connection
    mail.py imap WAY PORT CA USER PASSWORD  stores a mail, and fetches it
    mail.py pop3 WAY PORT CA USER PASSWORD  fetches what is there, one mail or more

WAY is `clear`; `upgrade`, which is STARTTLS or STLS; `tls`, which is TLS from the begin; or
`stripped`, which tries without TLS what has to be refused. The name is always `localhost`, and the
certificate has to be for it. Says the capabilities that it was told, before TLS in one line and
after it in another, and fails if anything else is not as it should be.
"""

import contextlib
import imaplib
import poplib
import smtplib
import ssl
import sys

HOST = "localhost"
MAIL = "From: <a@example.test>\r\nSubject: hello\r\n\r\n" + "how do you do? " * 4 + "\r\n"
LARGE = MAIL + ("x" * 70 + "\r\n") * 20_000
SECONDS = 25


def smtp(way, port, context):
    if way == "tls":
        server = smtplib.SMTP_SSL(HOST, port, timeout=SECONDS, context=context)
    else:
        server = smtplib.SMTP(HOST, port, timeout=SECONDS)
    server.ehlo("client.example")
    tell(server.esmtp_features)
    if way == "stripped":
        code, words = server.mail("a@example.test")
        assert (code, words[:5]) == (530, b"5.7.0"), (code, words)
        code, words = server.docmd("AUTH PLAIN", "AHNvbWVib2R5AHNlY3JldA==")
        assert code == 530, (code, words)
    if way in ("upgrade", "stripped"):
        server.starttls(context=context)
        server.ehlo("client.example")
        tell(server.esmtp_features)
        assert "starttls" not in server.esmtp_features
    for mail in (MAIL, LARGE):
        server.sendmail("a@example.test", ["b@example.test"], mail)
    server.quit()


def imap(way, port, context, user, password):
    if way == "tls":
        server = imaplib.IMAP4_SSL(HOST, port, ssl_context=context, timeout=SECONDS)
    else:
        server = imaplib.IMAP4(HOST, port, timeout=SECONDS)
    tell(server.capabilities)
    if way == "stripped":
        assert "LOGINDISABLED" in server.capabilities, server.capabilities
        with contextlib.suppress(imaplib.IMAP4.error):
            server.login(user, password)
            raise AssertionError("a password was taken in the clear")
    if way in ("upgrade", "stripped"):
        server.starttls(context)
        tell(server.capabilities)
        assert "STARTTLS" not in server.capabilities
        assert "LOGINDISABLED" not in server.capabilities
    server.login(user, password)
    assert server.append("INBOX", None, None, LARGE.encode())[0] == "OK"
    kind, count = server.select()
    kind, parts = server.fetch(count[0], "(BODY.PEEK[])")
    assert (kind, parts[0][1]) == ("OK", LARGE.encode())
    server.logout()


def pop3(way, port, context, user, password):
    if way == "tls":
        server = poplib.POP3_SSL(HOST, port, context=context, timeout=SECONDS)
    else:
        server = poplib.POP3(HOST, port, timeout=SECONDS)
    tell(server.capa())
    if way == "stripped":
        with contextlib.suppress(poplib.error_proto):
            server.user(user)
            server.pass_(password)
            raise AssertionError("a password was taken in the clear")
    if way in ("upgrade", "stripped"):
        server.stls(context)
        capabilities = server.capa()
        tell(capabilities)
        assert "STLS" not in capabilities
    server.user(user)
    server.pass_(password)
    count, _ = server.stat()
    assert count > 0
    assert b"how do you do?" in b"\r\n".join(server.retr(1)[1])
    server.quit()


def tell(capabilities):
    print(*sorted(capabilities))


def main():
    protocol, way, port, ca, *credential = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca)
    {"smtp": smtp, "imap": imap, "pop3": pop3}[protocol](way, int(port), context, *credential)


if __name__ == "__main__":
    main()
