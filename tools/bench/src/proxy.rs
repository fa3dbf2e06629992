//! A network: a proxy in front of the database that lets every byte wait, and counts how often somebody waits for an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Listens until this process ends.
pub(super) struct Proxy {
    pub(super) port: u16,
    flights: Arc<Flights>,
}

#[derive(Default)]
struct Flights {
    count: AtomicUsize,
    client_spoke_last: AtomicBool,
}

impl Proxy {
    /// In front of the server on `port`; there and back takes `round_trip`.
    pub(super) async fn start(server: u16, round_trip: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let flights = Arc::new(Flights::default());
        let shared = Arc::clone(&flights);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(forward(from_client, to_server, true, round_trip / 2, Arc::clone(&shared)));
                tokio::spawn(forward(from_server, to_client, false, round_trip / 2, Arc::clone(&shared)));
            }
        });
        Ok(Self { port, flights })
    }

    /// How many times the client has spoken and then waited for the server, since the last call.
    pub(super) fn take_flights(&self) -> usize {
        self.flights.count.swap(0, Ordering::SeqCst)
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_client: bool, delay: Duration, flights: Arc<Flights>) {
    let (sender, mut waiting) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, bytes)) = waiting.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if flights.client_spoke_last.swap(is_client, Ordering::SeqCst) != is_client && is_client {
            flights.count.fetch_add(1, Ordering::SeqCst);
        }
        if sender.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() {
            break;
        }
    }
}
