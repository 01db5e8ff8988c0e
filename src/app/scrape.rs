//! The address at which Prometheus reads the metrics: `GET /metrics` over HTTP/1.1, and nothing else.
//!
//! Whoever reaches the address may read: it has figures of the ledgers, and no secret and no customer. So it is off by
//! default, and who sets it names the address himself. Beyond loopback the log says so.
//!
//! # Bounds
//! Eight connections, one answer each, 16 KiB of a request, 10 s for all of it. One scrape at a time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, watch};

use super::failure::Failure;
use super::sampler::Sampler;
use crate::telemetry::Meters;

const PATH: &str = "/metrics";
const CONNECTIONS_MAX: usize = 8;
const REQUEST_BYTES_MAX: usize = 16 << 10;
/// How long a connection may take, its answer included.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long accepting pauses after a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// An address where metrics are read.
pub(super) struct Scrapes {
    listener: TcpListener,
    address: SocketAddr,
    meters: Meters,
}

impl Scrapes {
    /// Takes the address, where there is one.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be listened on.
    pub async fn listen(address: Option<SocketAddr>, meters: &Meters) -> Result<Option<Self>, Failure> {
        let Some(wanted) = address else { return Ok(None) };
        let failed = |error| Failure::Other(format!("cannot listen for metrics on {wanted}: {error}"));
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "metrics are served to whoever reaches this address");
        }
        Ok(Some(Self { listener, address, meters: meters.clone() }))
    }

    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Answers until it is stopped.
    pub async fn serve(self, sampler: Sampler, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let one = Arc::new(Mutex::new((self.meters, sampler)));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                // A sender that is gone means stop as well.
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((socket, _)) => {
                    // Beyond the bound a connection is closed at once.
                    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                        let one = Arc::clone(&one);
                        tokio::spawn(async move {
                            answer(socket, one).await;
                            drop(place);
                        });
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "no connection for metrics can be accepted; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

type Scraped = Arc<Mutex<(Meters, Sampler)>>;

/// Answers one request and closes.
async fn answer(socket: TcpStream, one: Scraped) {
    let service = service_fn(move |request| {
        let one = Arc::clone(&one);
        async move { Ok::<_, Infallible>(respond(&request, &one).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics broke off"),
        Err(_) => tracing::debug!("a connection for metrics took too long"),
    }
}

async fn respond(request: &Request<Incoming>, one: &Scraped) -> Response<Full<Bytes>> {
    let of = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != PATH {
        return of(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::GET {
        let mut response = of(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    let (meters, sampler) = &*one.lock().await;
    sampler.sample().await;
    match meters.text() {
        Ok((text, content_type)) => {
            let mut response = Response::new(Full::from(text));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            response
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            of(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}
