//! What a Redis answers: RESP2, read from a connection of its own.
//!
//! Owns [`Reply`] and a client for one command after the other. Refuses to know any command.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// An error, with its code.
    Error(String),
    /// Several.
    List(Vec<Self>),
    /// There is none.
    Nothing,
    /// A number.
    Number(i64),
    /// A text; what is no UTF-8 in it is replaced.
    Text(String),
}

impl Reply {
    /// The texts of a list.
    pub fn texts(self) -> Vec<String> {
        let Self::List(replies) = self else { panic!("not a list: {self:?}") };
        let text = |reply| match reply {
            Self::Text(text) => text,
            other => panic!("not a text: {other:?}"),
        };
        replies.into_iter().map(text).collect()
    }

    /// Its number.
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("not a number: {other:?}"),
        }
    }

    /// Fails unless it is `OK`.
    pub fn expect_ok(&self) {
        assert_eq!(*self, Self::Text("OK".to_owned()));
    }
}

/// A connection that is asked one thing after the other. Whatever breaks is `None`.
pub(super) struct Connection(BufStream<TcpStream>);

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Option<Self> {
        Some(Self(BufStream::new(TcpStream::connect(address).await.ok()?)))
    }

    pub(super) async fn ask(&mut self, command: &[&str]) -> Option<Reply> {
        let mut bytes = format!("*{}\r\n", command.len());
        for word in command {
            bytes += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.write_all(bytes.as_bytes()).await.ok()?;
        self.0.flush().await.ok()?;
        self.read().await
    }

    async fn read(&mut self) -> Option<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line).await.ok()?;
        let line = line.strip_suffix("\r\n")?;
        let (kind, rest) = line.split_at_checked(1)?;
        Some(match kind {
            "+" => Reply::Text(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(rest.parse().ok()?),
            "$" if rest == "-1" => Reply::Nothing,
            "$" => {
                let mut text = vec![0; rest.parse::<usize>().ok()? + 2];
                self.0.read_exact(&mut text).await.ok()?;
                text.truncate(text.len() - 2);
                Reply::Text(String::from_utf8_lossy(&text).into_owned())
            }
            "*" if rest == "-1" => Reply::Nothing,
            "*" => {
                let mut replies = Vec::new();
                for _ in 0..rest.parse::<usize>().ok()? {
                    replies.push(Box::pin(self.read()).await?);
                }
                Reply::List(replies)
            }
            _ => return None,
        })
    }
}
