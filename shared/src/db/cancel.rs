//! The connection that carries a request to cancel a statement. It stays open until the server closes it.
//!
//! The server closes it when it has handled the request. The driver would close it right behind the request, and there PgBouncer 1.18,
//! which is Debian 12's, ends with all its connections (<https://github.com/pgbouncer/pgbouncer/pull/846>).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt};
use postgres_native_tls::{MakeTlsConnector, TlsConnector, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{self, ChannelBinding, MakeTlsConnect, TlsConnect};

/// TLS as the wrapped connector makes it, for connections whose shutdown first waits for the server's.
pub(super) struct ClosedByServer<T>(pub(super) T);

impl MakeTlsConnect<Socket> for ClosedByServer<MakeTlsConnector> {
    type Stream = ClosedByServer<TlsStream<Socket>>;
    type TlsConnect = ClosedByServer<TlsConnector>;
    type Error = native_tls::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        MakeTlsConnect::<Socket>::make_tls_connect(&mut self.0, domain).map(ClosedByServer)
    }
}

impl TlsConnect<Socket> for ClosedByServer<TlsConnector> {
    type Stream = ClosedByServer<TlsStream<Socket>>;
    type Error = native_tls::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, socket: Socket) -> Self::Future {
        self.0.connect(socket).map(|stream| stream.map(ClosedByServer)).boxed()
    }
}

impl AsyncWrite for ClosedByServer<TlsStream<Socket>> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The server sends nothing on such a connection, so whatever ends this read is the end of the connection.
        Pin::new(&mut self.0).poll_read(context, &mut ReadBuf::new(&mut [0]))
    }
}

impl AsyncRead for ClosedByServer<TlsStream<Socket>> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl tls::TlsStream for ClosedByServer<TlsStream<Socket>> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}
