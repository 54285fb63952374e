//! The admin endpoint: `/healthz`, `/readyz` and `/metrics` over HTTP, for machines and their
//! keepers.
//!
//! Read only. It runs on the control thread, is bounded in every way, and one request is answered
//! on each connection.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::debug;

use super::Phase;
use super::metrics::{self, Sources};
use crate::limits::{
    ADMIN_CONNECTIONS_MAX, ADMIN_HEADER_TIMEOUT, ADMIN_REQUEST_LEN_MAX, ADMIN_REQUEST_TIMEOUT,
};

/// How long to wait after a failed accept: most likely no descriptor is free.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

type Answer = Response<Full<Bytes>>;

/// What is asked about.
#[derive(Debug)]
pub(super) struct Admin {
    pub(super) phase: Rc<Cell<Phase>>,
    pub(super) sources: Sources,
}

/// Makes a descriptor of the listener, which does not wait, one of this runtime.
pub(super) fn listener(bound: &net::TcpListener) -> io::Result<TcpListener> {
    TcpListener::from_std(bound.try_clone()?)
}

/// Serves `admin` until the runtime ends.
pub(super) async fn serve(listener: TcpListener, admin: Admin) {
    let admin = Rc::new(admin);
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let admin = Rc::clone(&admin);
                tokio::task::spawn_local(async move {
                    answer(stream, admin).await;
                    drop(place);
                });
            }
            Err(error) => {
                debug!(%error, "admin accept");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, admin: Rc<Admin>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = admin.answer(request.method(), request.uri().path());
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ADMIN_HEADER_TIMEOUT)
        .max_buf_size(ADMIN_REQUEST_LEN_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(ADMIN_REQUEST_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "admin request"),
        Err(_) => debug!("admin request took too long"),
    }
}

impl Admin {
    fn answer(&self, method: &Method, path: &str) -> Answer {
        let answer = match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(),
            "/metrics" => self.metrics(),
            _ => return text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"),
        };
        if method == Method::GET { answer } else { not_allowed() }
    }

    fn ready(&self) -> Answer {
        match self.phase.get() {
            Phase::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            Phase::Serving => text(StatusCode::OK, "ok\n"),
            Phase::HandingOver => text(StatusCode::SERVICE_UNAVAILABLE, "handing over\n"),
            Phase::Stopping => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        }
    }

    fn metrics(&self) -> Answer {
        let Ok(metrics) = self.sources.text() else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n");
        };
        let mut answer = Response::new(Full::from(metrics));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
        answer
    }
}

fn text(status: StatusCode, words: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(words));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn not_allowed() -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    answer
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::thread;

    use super::super::metrics::tests::sources;
    use super::*;

    /// Asks over a real connection, from a thread of its own, and returns the whole answer.
    async fn ask(addr: net::SocketAddr, request: String) -> String {
        let asked = tokio::task::spawn_blocking(move || {
            let mut stream = net::TcpStream::connect(addr).expect("a listener");
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
            stream.write_all(request.as_bytes()).expect("a reader");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer, and then the end");
            answer
        });
        asked.await.expect("it does not panic")
    }

    fn in_runtime<F: Future<Output = ()> + 'static>(
        test: impl FnOnce(net::SocketAddr, Rc<Cell<Phase>>) -> F + Send + 'static,
    ) {
        let run = || {
            tokio_uring::start(async {
                let bound = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
                let addr = bound.local_addr().expect("an address");
                bound.set_nonblocking(true).expect("an option");
                let listener = listener(&bound).expect("a runtime");
                let phase = Rc::new(Cell::new(Phase::Starting));
                let admin = Admin { phase: Rc::clone(&phase), sources: sources(Vec::new()) };
                tokio::task::spawn_local(serve(listener, admin));
                test(addr, phase).await;
            });
        };
        thread::spawn(run).join().expect("the test passes");
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: chatd\r\n\r\n")
    }

    #[test]
    fn each_path_has_its_answer() {
        in_runtime(|addr, phase| async move {
            let asked = ask(addr, get("/readyz")).await;
            assert!(asked.starts_with("HTTP/1.1 503 ") && asked.ends_with("starting\n"), "{asked}");
            phase.set(Phase::Serving);
            for (request, status, end) in [
                (get("/healthz"), "200", "\r\n\r\nok\n"),
                (get("/readyz?verbose"), "200", "\r\n\r\nok\n"),
                (get("/metrics"), "200", "# EOF\n"),
                (get("/"), "404", "/metrics\n"),
                ("POST /metrics HTTP/1.0\r\n\r\n".to_owned(), "405", "only GET is answered\n"),
                ("nonsense\r\n\r\n".to_owned(), "400", "\r\n\r\n"),
                (get(&"/".repeat(ADMIN_REQUEST_LEN_MAX)), "431", "\r\n\r\n"),
            ] {
                let asked = ask(addr, request).await;
                let head = format!("HTTP/1.1 {status} ");
                let head_old = format!("HTTP/1.0 {status} ");
                assert!(asked.starts_with(&head) || asked.starts_with(&head_old), "{asked}");
                assert!(asked.ends_with(end), "{asked}");
            }
            phase.set(Phase::Stopping);
            let asked = ask(addr, get("/readyz")).await;
            assert!(asked.starts_with("HTTP/1.1 503 ") && asked.ends_with("stopping\n"), "{asked}");
        });
    }

    #[test]
    fn metrics_say_what_they_are() {
        in_runtime(|addr, _| async move {
            let asked = ask(addr, get("/metrics")).await;
            let head = format!("content-type: {}\r\n", metrics::CONTENT_TYPE);
            assert!(asked.contains(&head), "{asked}");
        });
    }

    /// Those who connect and say nothing hold all places; the next is answered once one is free.
    #[test]
    fn connections_are_bounded() {
        in_runtime(|addr, phase| async move {
            phase.set(Phase::Serving);
            let connect = || net::TcpStream::connect(addr).expect("a listener");
            let mut silent: Vec<_> = (0..ADMIN_CONNECTIONS_MAX).map(|_| connect()).collect();
            let waiting = ask(addr, get("/healthz"));
            tokio::pin!(waiting);
            for _ in 0..1_000 {
                let early = tokio::select! {
                    biased;
                    _ = &mut waiting => true,
                    () = tokio::task::yield_now() => false,
                };
                assert!(!early, "more are served than may be");
            }
            silent.pop();
            let asked = waiting.await;
            assert!(asked.starts_with("HTTP/1.1 200 "), "{asked}");
        });
    }
}
