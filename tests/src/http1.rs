//! HTTP/1.1 as bytes: just enough of a reader to see what the proxy really wrote.
//!
//! Owns the response as it stood on the wire. Requests are written by the tests, byte for byte,
//! since most of them are requests that no library would send.

use crate::client::Tls;

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The content, without any coding of the transfer.
    pub body: Vec<u8>,
}

impl Response {
    /// The response in `bytes`, if it is complete; `bytes` end where the connection does.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut response, rest) = head(bytes)?;
        response.body = match framing(&response) {
            Framing::Nothing => Vec::new(),
            Framing::Length(length) => rest.get(..length)?.to_vec(),
            Framing::Chunked => chunks(rest)?.0,
            Framing::End => rest.to_vec(),
        };
        Some(response)
    }

    /// The value of a field; empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value)
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads the next response, with what came of the one after it left in `buffer`. `None` means that
/// the connection ended before it was complete, by whatever means.
pub async fn read_response(client: &mut Tls, buffer: &mut Vec<u8>) -> Option<Response> {
    loop {
        if let Some((mut response, rest)) = head(buffer) {
            let complete = match framing(&response) {
                Framing::Nothing => Some((Vec::new(), rest.len())),
                Framing::Length(length) => {
                    rest.get(..length).map(|body| (body.to_vec(), rest.len() - length))
                }
                Framing::Chunked => chunks(rest),
                Framing::End => None,
            };
            if let Some((body, left)) = complete {
                response.body = body;
                *buffer = buffer.split_off(buffer.len() - left);
                return Some(response);
            }
        }
        match client.receive().await {
            Ok(more) if !more.is_empty() => buffer.extend(more),
            _ => return Response::parse(buffer),
        }
    }
}

enum Framing {
    Nothing,
    Length(usize),
    Chunked,
    End,
}

/// RFC 9112 §6.3, for a response to anything but HEAD and CONNECT.
fn framing(response: &Response) -> Framing {
    if matches!(response.status, 100..=199 | 204 | 304) {
        return Framing::Nothing;
    }
    if response.field("transfer-encoding") == "chunked" {
        return Framing::Chunked;
    }
    response.field("content-length").parse().map_or(Framing::End, Framing::Length)
}

fn head(bytes: &[u8]) -> Option<(Response, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let fields = lines.filter_map(field).collect();
    Some((Response { status, fields, body: Vec::new() }, &bytes[end + 4..]))
}

/// The content of the chunks, and how many bytes are left behind the last one.
fn chunks(mut bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        bytes = bytes.get(end + 2..)?;
        if size == 0 {
            return bytes.strip_prefix(b"\r\n").map(|rest| (body, rest.len()));
        }
        body.extend(bytes.get(..size)?);
        bytes = bytes.get(size..)?.strip_prefix(b"\r\n")?;
    }
}
