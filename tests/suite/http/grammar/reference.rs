//! A reader of requests that takes no liberties: the judge of what reaches a backend.
//!
//! Owns the grammar of RFC 9112 in its narrowest form, and nothing else: it was written for these
//! tests and shares no code with what they test. Whatever it does not understand is an error, since
//! another reader could understand something else.

/// A request as the backend has to understand it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::http) struct Request {
    pub(in crate::http) method: String,
    pub(in crate::http) target: String,
    /// Names in lower case.
    pub(in crate::http) fields: Vec<(String, String)>,
    pub(in crate::http) body: Vec<u8>,
}

impl Request {
    pub(in crate::http) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// The request at the beginning of `bytes` and how long it is; `None` if it has not come to its
/// end.
pub(in crate::http) fn read(bytes: &[u8]) -> Result<Option<(Request, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    // Beyond ASCII a value may have any bytes, which are nobody's to understand.
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else { return Err(format!("line {line:?}")) };
    let is_plain =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token(method) || !is_plain(target) {
        return Err(format!("line {line:?}"));
    }
    let mut request =
        Request { method: method.to_owned(), target: target.to_owned(), ..Request::default() };
    for line in lines {
        request.fields.push(field(line)?);
    }
    let rest = &bytes[end + 4..];
    let length =
        match (&request.values("content-length")[..], &request.values("transfer-encoding")[..]) {
            ([], []) => Some((Vec::new(), 0)),
            ([length], []) => {
                let number: usize = length.parse().map_err(|_| format!("length {length:?}"))?;
                if number.to_string() != *length {
                    return Err(format!("length {length:?}"));
                }
                rest.get(..number).map(|body| (body.to_vec(), number))
            }
            ([], ["chunked"]) => chunks(rest)?,
            framing => return Err(format!("framing {framing:?}")),
        };
    if request.values("host").len() != 1 {
        return Err("not one host".to_owned());
    }
    Ok(length.map(|(body, length)| (Request { body, ..request }, end + 4 + length)))
}

fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon in {line:?}"))?;
    if !is_token(name) {
        return Err(format!("name {name:?}"));
    }
    let value = value.strip_prefix(' ').unwrap_or(value);
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(format!("value {value:?}"));
    }
    Ok((name.to_ascii_lowercase(), value.to_owned()))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_one)
}

/// The content of chunks without extensions, and how long they are with all that frames them.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(length) = bytes[at..].windows(2).position(|window| window == b"\r\n") else {
            return Ok(None);
        };
        let line = String::from_utf8_lossy(&bytes[at..at + length]).into_owned();
        let is_size = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(&line, 16).map_err(|_| format!("size {line:?}"))?;
        if !is_size {
            return Err(format!("size {line:?}"));
        }
        at += length + 2;
        if size == 0 {
            // No trailers: whatever stands there is one of the following requests' business.
            return match bytes.get(at..at + 2) {
                None => Ok(None),
                Some(b"\r\n") => Ok(Some((body, at + 2))),
                Some(other) => Err(format!("{other:?} behind the last chunk")),
            };
        }
        match bytes.get(at..at + size + 2) {
            None => return Ok(None),
            Some([data @ .., b'\r', b'\n']) => body.extend(data),
            Some(_) => return Err("a chunk is longer than its size".to_owned()),
        }
        at += size + 2;
    }
}

#[test]
fn the_judge_takes_no_liberties() {
    let whole =
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let (request, length) = read(whole).unwrap().unwrap();
    assert_eq!((request.body.as_slice(), length), (&b"a"[..], whole.len()));
    for cut in 0..whole.len() {
        assert_eq!(read(&whole[..cut]), Ok(None), "cut at {cut}");
    }
    for bad in [
        &b"GET / HTTP/1.1\nHost: x\n\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 01\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        assert!(read(bad).is_err(), "{}", bad.escape_ascii());
    }
}
