//! The plaintext services of the demo: one answers HTTP, one echoes.
//!
//! Owns a thread that ends with the process. Refuses to know TLS; that is the point.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::thread;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime;
use tokio::task::{LocalSet, spawn_local};

/// Binds both sockets and answers on a thread of its own.
pub(super) fn start(http: &Path, echo: &Path) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (http, echo) = {
        let _entered = runtime.enter();
        (UnixListener::bind(http)?, UnixListener::bind(echo)?)
    };
    let serve = move || {
        let tasks = LocalSet::new();
        let both = async { tokio::join!(accept(&http, hello), accept(&echo, repeat)) };
        runtime.block_on(tasks.run_until(both));
    };
    thread::Builder::new().name("demo".to_owned()).spawn(serve)?;
    Ok(())
}

async fn accept<F>(listener: &UnixListener, serve: impl Fn(UnixStream) -> F)
where
    F: Future<Output = ()> + 'static,
{
    // A socket in a folder of our own does not fail while the process lives.
    while let Ok((stream, _)) = listener.accept().await {
        spawn_local(serve(stream));
    }
}

async fn hello(stream: UnixStream) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(greet(&request)) });
    // A client that breaks off is none of the demo's business.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Says hello, and shows what a service behind Portunus gets to see.
fn greet(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut text = format!(
        "Hello from a plaintext service behind Portunus.\n\n{} {} {:?}\n",
        request.method(),
        request.uri(),
        request.version(),
    );
    for (name, value) in request.headers() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    Response::new(Full::new(text.into()))
}

async fn repeat(mut stream: UnixStream) {
    let (mut reader, mut writer) = stream.split();
    // A client that breaks off is none of the demo's business.
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
}
