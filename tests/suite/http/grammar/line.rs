//! Rows about the first line of requests: method, target, version.

use super::{judge_all, last, line, passes, refused};

const BAD: &[u16] = &[400];
const ONE: &[&str] = &["/"];

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_a_method_a_target_and_a_version_or_refused() {
    let first = |first: &str| line(first, "");
    judge_all(vec![
        passes("a method of its own", first("PURGE / HTTP/1.1"), ONE),
        passes("a method in another case", first("get / HTTP/1.1"), ONE),
        passes(
            "an empty line before",
            format!("\r\n{}", String::from_utf8(first("GET / HTTP/1.1")).unwrap()),
            ONE,
        ),
        last("HTTP/1.0", first("GET / HTTP/1.0"), ONE),
        refused(
            "two empty lines before",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: app.example\r\n\r\n",
            BAD,
        ),
        refused("a line feed before", "\nGET / HTTP/1.1\r\nHost: app.example\r\n\r\n", BAD),
        refused("a space before", first(" GET / HTTP/1.1"), BAD),
        refused("no method", first("/ HTTP/1.1"), BAD),
        refused("a space in the method", first("G ET / HTTP/1.1"), BAD),
        refused("a null in the method", first("GET\0 / HTTP/1.1"), BAD),
        refused("a bracket in the method", first("G(T / HTTP/1.1"), BAD),
        refused("a colon in the method", first("GET: / HTTP/1.1"), BAD),
        refused("a letter beyond ASCII in the method", first("G\u{cb}T / HTTP/1.1"), BAD),
        refused("only a method", first("GET"), BAD),
        refused("two spaces behind the method", first("GET  / HTTP/1.1"), BAD),
        refused("a tab behind the method", first("GET\t/ HTTP/1.1"), BAD),
        refused("two spaces before the version", first("GET /  HTTP/1.1"), BAD),
        refused("a tab before the version", first("GET /\tHTTP/1.1"), BAD),
        refused("a space behind the version", first("GET / HTTP/1.1 "), BAD),
        refused("more behind the version", first("GET / HTTP/1.1 x"), BAD),
        refused("a carriage return behind the version", first("GET / HTTP/1.1\r"), BAD),
        refused("a line feed alone", "GET / HTTP/1.1\nHost: app.example\r\n\r\n", BAD),
        refused("a carriage return alone", "GET / HTTP/1.1\rHost: app.example\r\n\r\n", BAD),
        refused("no version", first("GET /"), BAD),
        refused("no version but a space", first("GET / "), BAD),
        refused("a version in lower case", first("GET / http/1.1"), BAD),
        refused("a version of three digits", first("GET / HTTP/1.10"), BAD),
        refused("a version of one digit", first("GET / HTTP/1"), BAD),
        refused("a version without a dot", first("GET / HTTP/11"), BAD),
        refused("a version with a comma", first("GET / HTTP/1,1"), BAD),
        refused("a version with a space", first("GET / HTTP/ 1.1"), BAD),
        refused("a version of another protocol", first("GET / HTTPS/1.1"), BAD),
        refused("a version to come", first("GET / HTTP/1.2"), &[400, 505]),
        refused("version 0.9", first("GET / HTTP/0.9"), &[505]),
        refused("version 2", first("GET / HTTP/2.0"), &[505]),
        refused("version 3", first("GET / HTTP/3.0"), &[505]),
        refused("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[505]),
        refused("TLS within TLS", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n", BAD),
        refused(
            "the PROXY protocol",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: app.example\r\n\r\n",
            BAD,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_a_path_or_a_url_of_the_host_or_refused() {
    let get = |target: &str| line(&format!("GET {target} HTTP/1.1"), "");
    judge_all(vec![
        passes("a path", get("/a/b?c=d&e"), &["/a/b?c=d&e"]),
        passes("two slashes", get("//a"), &["//a"]),
        passes("dots", get("/a/../b/./c"), &["/a/../b/./c"]),
        passes("escapes", get("/..%2f%00%0d%0a%20"), &["/..%2f%00%0d%0a%20"]),
        passes("an empty query", get("/?"), &["/?"]),
        passes("a URL in the query", get("/?http://x/"), &["/?http://x/"]),
        passes("semicolons", get("/a;b=c"), &["/a;b=c"]),
        passes("a URL of the host", get("https://app.example/a?b"), &["/a?b"]),
        passes("a URL of the host in clear text", get("http://app.example/a"), &["/a"]),
        passes("a URL in another case", get("HTTPS://APP.EXAMPLE/a"), &["/a"]),
        passes("a URL without a path", get("https://app.example"), ONE),
        refused("a URL with a query alone", get("https://app.example?a"), BAD),
        passes("all of the host", line("OPTIONS * HTTP/1.1", ""), &["*"]),
        refused("nothing", get(""), BAD),
        refused("a name", get("app.example"), BAD),
        refused("a name and a port", get("app.example:443"), BAD),
        refused("a relative path", get("a/b"), BAD),
        refused("a query alone", get("?a"), BAD),
        refused("all, but not by OPTIONS", get("*"), BAD),
        refused("more than all", line("OPTIONS *a HTTP/1.1", ""), BAD),
        refused("a fragment", get("/a#b"), BAD),
        refused("a fragment in a query", get("/?a#b"), BAD),
        refused("a fragment of a URL", get("https://app.example/#a"), BAD),
        refused("a URL of another host", get("https://other.example/"), BAD),
        refused("a URL with a user", get("https://user@app.example/"), BAD),
        refused("a URL with a port", get("https://app.example:443/"), BAD),
        refused("a URL without a host", get("https:///a"), BAD),
        refused("a URL of another scheme", get("ftp://app.example/"), BAD),
        refused("a URL with one slash", get("https:/app.example/"), BAD),
        refused("a space", get("/a b"), BAD),
        refused("a tab", get("/a\tb"), BAD),
        refused("a null", get("/a\0"), BAD),
        refused("a control", get("/a\x1b"), BAD),
        refused("a delete", get("/a\x7f"), BAD),
        refused("a letter beyond ASCII", get("/\u{e4}"), BAD),
        refused("a carriage return", get("/a\rb"), BAD),
        refused("longer than may be", get(&format!("/{}", "a".repeat(9000))), &[414]),
        refused("much longer than may be", get(&format!("/{}", "a".repeat(70_000))), &[414]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_never_made_for_a_client() {
    let connect = |target: &str, fields: &str| line(&format!("CONNECT {target} HTTP/1.1"), fields);
    judge_all(vec![
        refused("to a host", connect("app.example:443", ""), &[405]),
        refused("to a host without a port", connect("app.example", ""), &[405]),
        refused("to an address", connect("127.0.0.1:22", ""), &[405]),
        refused("to a path", connect("/", ""), &[400, 405]),
        refused("to a URL", connect("https://app.example/", ""), &[400, 405]),
        refused("with content", connect("app.example:443", "Content-Length: 5\r\n"), &[405]),
        refused("in HTTP/1.0", "CONNECT app.example:443 HTTP/1.0\r\n\r\n", &[405]),
    ])
    .await;
}
