//! Rows about the fields of requests: their lines, names and values, and the host.

use super::{judge_all, line, passes, refused};

const BAD: &[u16] = &[400];
const MANY: &[u16] = &[431];
const ONE: &[&str] = &["/"];

#[tokio::test(flavor = "multi_thread")]
async fn a_field_is_a_name_a_colon_and_a_value_or_refused() {
    let field = |field: &str| line("GET / HTTP/1.1", &format!("{field}\r\n"));
    let raw = |field: &[u8]| {
        [&b"GET / HTTP/1.1\r\nHost: app.example\r\n"[..], field, b"\r\n\r\n"].concat()
    };
    judge_all(vec![
        passes("a field", field("X-A: 1"), ONE),
        passes("no space behind the colon", field("X-A:1"), ONE),
        passes("no value", field("X-A:"), ONE),
        passes("only spaces", field("X-A: \t "), ONE),
        passes("a tab inside", field("X-A: 1\t2"), ONE),
        passes("colons inside", field("X-A: a:b:c"), ONE),
        passes("a comma at the end", field("X-A: 1,"), ONE),
        passes("the same name twice", field("X-A: 1\r\nX-A: 2"), ONE),
        passes("a long value", field(&format!("X-A: {}", "x".repeat(20_000))), ONE),
        passes("as many as may be", field("X-A: 1\r\n".repeat(99).trim_end()), ONE),
        refused("one more", field("X-A: 1\r\n".repeat(100).trim_end()), MANY),
        refused("many more", field("X-A: 1\r\n".repeat(1000).trim_end()), MANY),
        refused("a value that is too long", field(&format!("X-A: {}", "x".repeat(40_000))), MANY),
        refused("a name that is too long", field(&"x".repeat(40_000)), MANY),
        refused("a space before the colon", field("X-A : 1"), BAD),
        refused("a tab before the colon", field("X-A\t: 1"), BAD),
        refused("a space inside the name", field("X A: 1"), BAD),
        refused("no name", field(": 1"), BAD),
        refused("only a colon", field(":"), BAD),
        refused("no colon", field("X-A"), BAD),
        refused("no colon but a value", field("X-A 1"), BAD),
        refused("a null in the name", field("X\0A: 1"), BAD),
        refused("a control in the name", field("X\x01A: 1"), BAD),
        refused("a bracket in the name", field("X(A): 1"), BAD),
        refused("a slash in the name", field("X/A: 1"), BAD),
        refused("an at sign in the name", field("X@A: 1"), BAD),
        refused("quotes around the name", field("\"X-A\": 1"), BAD),
        refused("a brace in the name", field("X{A}: 1"), BAD),
        refused("a letter beyond ASCII in the name", field("X-\u{e4}: 1"), BAD),
        refused("a byte beyond ASCII in the name", raw(b"X-\xe4: 1"), BAD),
        refused("a delete in the name", field("X\x7f: 1"), BAD),
        refused("a null in the value", field("X-A: 1\x002"), BAD),
        refused("a null at the end of the value", field("X-A: 1\0"), BAD),
        refused("a control in the value", field("X-A: 1\x012"), BAD),
        refused("an escape in the value", field("X-A: \x1b[0m"), BAD),
        refused("a delete in the value", field("X-A: 1\x7f"), BAD),
        refused("a vertical tab in the value", field("X-A: 1\x0b2"), BAD),
        refused("a bare carriage return", field("X-A: 1\r2"), BAD),
        refused("two carriage returns", raw(b"X-A: 1\r"), BAD),
        refused("a bare line feed", field("X-A: 1\nX-B: 2"), BAD),
        refused("a bare line feed at the end", raw(b"X-A: 1\n"), BAD),
        refused("a folded value", field("X-A: 1\r\n 2"), BAD),
        refused("a value folded by a tab", field("X-A: 1\r\n\t2"), BAD),
        refused(
            "a first field that is folded",
            "GET / HTTP/1.1\r\n X-A: 1\r\nHost: app.example\r\n\r\n",
            BAD,
        ),
        refused("a line of spaces", field("X-A: 1\r\n  "), BAD),
        refused("only line feeds", "GET / HTTP/1.1\nHost: app.example\n\n", BAD),
        refused("only carriage returns", "GET / HTTP/1.1\rHost: app.example\r\r", BAD),
        refused("an end of line feeds", "GET / HTTP/1.1\r\nHost: app.example\r\n\n", BAD),
        refused("Connection names what we set", field("Connection: X-Forwarded-For"), BAD),
        refused("Connection names it otherwise", field("Connection: close, X_Real_IP"), BAD),
        refused("Connection names the host", field("Connection: Host"), BAD),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_one_name_or_refused() {
    let hosts = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    let host = |value: &str| format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
    judge_all(vec![
        passes("a host", host("app.example"), ONE),
        passes("in any case", host("APP.Example"), ONE),
        passes("with a port", host("app.example:443"), ONE),
        refused("with an empty port", host("app.example:"), BAD),
        passes("with a dot at the end", host("app.example."), ONE),
        passes("last of all", hosts("X-A: 1\r\nHost: app.example\r\n"), ONE),
        refused("none", hosts(""), BAD),
        refused("none but another field", hosts("X-A: 1\r\n"), BAD),
        refused("an empty one", host(""), BAD),
        refused("two", hosts("Host: app.example\r\nHost: other.example\r\n"), BAD),
        refused("two alike", hosts("Host: app.example\r\nHost: app.example\r\n"), BAD),
        refused("two, one empty", hosts("Host: app.example\r\nHost:\r\n"), BAD),
        refused("two in different case", hosts("Host: app.example\r\nhOST: app.example\r\n"), BAD),
        refused("a list", host("app.example, other.example"), BAD),
        refused("a space inside", host("app.example other.example"), BAD),
        refused("a tab inside", host("app.example\tx"), BAD),
        refused("a user", host("user@app.example"), BAD),
        refused("a path", host("app.example/evil"), BAD),
        refused("a query", host("app.example?evil"), BAD),
        refused("a fragment", host("app.example#evil"), BAD),
        refused("a backslash", host("app.example\\evil"), BAD),
        refused("a scheme", host("https://app.example"), BAD),
        refused("an escape", host("app%2eexample"), BAD),
        refused("a port that is a word", host("app.example:https"), BAD),
        refused("a port that is too large", host("app.example:65536"), BAD),
        refused("a port with a sign", host("app.example:+443"), BAD),
        refused("two ports", host("app.example:443:443"), BAD),
        refused("half an address", host("[::1"), BAD),
        refused("an address and more", host("[::1]evil"), BAD),
        refused("a letter beyond ASCII", host("\u{e4}pp.example"), BAD),
        refused("a null", host("app.example\0"), BAD),
        refused("a semicolon", host("app.example;x"), BAD),
        refused("quotes", host("\"app.example\""), BAD),
        refused("too long a name", host(&"a".repeat(300)), BAD),
        refused("a space before the colon", hosts("Host : app.example\r\n"), BAD),
        refused("folded", hosts("Host:\r\n app.example\r\n"), BAD),
    ])
    .await;
}
