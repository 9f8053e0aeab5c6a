//! Listens, speaks TLS, keeps every connection within its limits, and shuts down cleanly.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use pvect_node::{Node, store};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificate;
use crate::error::ServeError;
use crate::http::Server;
use crate::options::Options;
use crate::places::{Claim, Places};
use crate::stalled::Guarded;

/// How many threads read the node at a time.
const BLOCKING_THREADS: usize = 32;

/// Serves the node's API until SIGTERM or SIGINT; `ready` is called with the address that it listens on.
///
/// Blocks. Tasks that were started go on when the server stops.
///
/// # Errors
/// See [`ServeError`].
pub fn serve(node: Node, options: Options, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    if !rustix::process::geteuid().is_root() {
        return Err(ServeError::NotRoot);
    }
    store::ensure_root(&node).map_err(ServeError::Root)?;
    let certificate = Certificate::load(&node).map_err(ServeError::Certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ServeError::Tls)?
        .with_no_client_auth()
        .with_single_cert(certificate.chain, certificate.key)
        .map_err(ServeError::Tls)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(|source| ServeError::System { what: "cannot start".to_owned(), source })?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(options.listen).await.map_err(|source| ServeError::System {
            what: format!("cannot listen on {}", options.listen),
            source,
        })?;
        let server = Arc::new(Server::new(node, options)?);
        if let Ok(address) = listener.local_addr() {
            ready(address);
        }
        accept(listener, TlsAcceptor::from(Arc::new(tls)), server, &options).await
    });
    // Threads that are still reading may block; do not wait for them.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    server: Arc<Server>,
    options: &Options,
) -> Result<(), ServeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |source| ServeError::System { what: "cannot wait for signals".to_owned(), source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let places = Places::new(options.connections, options.connections_of_one, options.waiting);
    let graceful = Arc::new(GracefulShutdown::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(claim) = places.claim(peer.ip()) else {
                    tracing::debug!(%peer, "too many connections");
                    continue;
                };
                let (acceptor, server) = (acceptor.clone(), Arc::clone(&server));
                let watcher = graceful.watcher();
                tokio::spawn(connection(stream, peer.ip(), acceptor, server, watcher, claim));
            }
            Err(error) => {
                // For example, out of file descriptors: trying again at once would only waste CPU time.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tracing::info!("ending");
    let Some(graceful) = Arc::into_inner(graceful) else { return Ok(()) };
    if timeout(options.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests have not ended in time");
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    acceptor: TlsAcceptor,
    server: Arc<Server>,
    watcher: hyper_util::server::graceful::Watcher,
    claim: Claim,
) {
    let options = *server.options();
    let Some(place) = claim.place(options.head).await else { return };
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(options.handshake, acceptor.accept(stream)).await else {
        return;
    };
    let io = TokioIo::new(Guarded::new(stream, options.write));
    let service = hyper::service::service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, std::convert::Infallible>(server.answer(request, peer).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head)
        .max_buf_size(64 * 1024)
        .max_headers(64)
        .serve_connection(io, service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, %peer, "connection");
    }
    drop(place);
}
