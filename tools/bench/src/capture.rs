//! What a function really sends. A proxy with the server's own certificate reads statements on the wire, with their types and values. So no
//! statement has to be written down twice.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use native_tls::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::statement::Statement;
use local::postgres::Server;

/// Listens until this process ends.
pub(super) struct Capture {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Statement>>>,
}

impl Capture {
    pub(super) async fn start(server: &Server) -> Result<Self> {
        let (certificate, key) = server.identity()?;
        let acceptor = native_tls::TlsAcceptor::new(Identity::from_pkcs8(&certificate, &key)?)?;
        let authority = native_tls::Certificate::from_pem(&std::fs::read(server.ca_file())?)?;
        let connector = native_tls::TlsConnector::builder().add_root_certificate(authority).build()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (seen, server) = (Arc::new(Mutex::default()), server.port());
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, connector) = (acceptor.clone().into(), connector.clone().into());
                let seen = Arc::clone(&shared);
                // An error is the connection's end, which the function reports.
                tokio::spawn(async move { forward(client, &acceptor, server, &connector, &seen).await });
            }
        });
        Ok(Self { port, seen })
    }

    /// What was sent since the last call.
    pub(super) fn take(&self) -> Vec<Statement> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn forward(
    mut client: TcpStream,
    acceptor: &tokio_native_tls::TlsAcceptor,
    server: u16,
    connector: &tokio_native_tls::TlsConnector,
    seen: &Mutex<Vec<Statement>>,
) -> Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    // Both sides are asked for TLS in the same words.
    let (mut request, mut answer) = ([0; 8], [0; 1]);
    client.read_exact(&mut request).await?;
    server.write_all(&request).await?;
    server.read_exact(&mut answer).await?;
    client.write_all(&answer).await?;
    let (mut from_client, mut to_client) = tokio::io::split(acceptor.accept(client).await?);
    let (mut from_server, mut to_server) = tokio::io::split(connector.connect("localhost", server).await?);
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });

    // The first message has no type.
    let (mut unread, mut at, mut parsed) = (Vec::new(), 0, None);
    let mut first = true;
    while from_client.read_buf(&mut unread).await? > 0 {
        to_server.write_all(&unread[at..]).await?;
        to_server.flush().await?;
        while let Some((kind, message)) = Message::split(&mut unread, first) {
            first = false;
            match kind {
                b'P' => parsed = Some(parse(message)?),
                b'B' => {
                    let (sql, types) = parsed.take().context("a statement is parsed before it is bound")?;
                    let statement = Statement { sql, types, values: bind(message)?, fresh: None };
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(statement);
                }
                _ => {}
            }
        }
        at = unread.len();
    }
    Ok(())
}

/// What is left of a message of the protocol.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
struct Message(std::vec::IntoIter<u8>);

impl Message {
    /// Takes a whole message from the front, if there is one.
    fn split(unread: &mut Vec<u8>, first: bool) -> Option<(u8, Self)> {
        let (kind, head) = if first { (0, 0) } else { (*unread.first()?, 1) };
        let length = head + u32::from_be_bytes(unread.get(head..head + 4)?.try_into().ok()?) as usize;
        if unread.len() < length {
            return None;
        }
        let message: Vec<u8> = unread.drain(..length).skip(head + 4).collect();
        Some((kind, Self(message.into_iter())))
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let bytes: Vec<u8> = self.0.by_ref().take(count).collect();
        ensure!(bytes.len() == count, "a message ends early");
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String> {
        Ok(String::from_utf8(self.0.by_ref().take_while(|byte| *byte != 0).collect())?)
    }

    fn short(&mut self) -> Result<usize> {
        let bytes = self.bytes(2)?;
        Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    }

    fn long(&mut self) -> Result<u32> {
        let bytes = self.bytes(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// A statement's text and the types of its parameters.
fn parse(mut message: Message) -> Result<(String, Vec<u32>)> {
    let _name = message.text()?;
    let sql = message.text()?;
    let types = message.short()?;
    Ok((sql, (0..types).map(|_| message.long()).collect::<Result<_>>()?))
}

/// The values of a statement's parameters.
fn bind(mut message: Message) -> Result<Vec<Option<Vec<u8>>>> {
    let (_portal, _statement) = (message.text()?, message.text()?);
    for _ in 0..message.short()? {
        ensure!(message.short()? == 1, "a parameter goes in binary");
    }
    let values = message.short()?;
    let mut value = || match message.long()? {
        u32::MAX => Ok(None),
        length => message.bytes(length as usize).map(Some),
    };
    (0..values).map(|_| value()).collect()
}
