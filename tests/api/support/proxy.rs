//! A TCP proxy between functions and database, that counts flights, can fall silent, and can cut a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::{App, database_port};

/// Which way bytes went last.
const TO_SERVER: usize = 1;
const TO_CLIENT: usize = 2;

/// Listens until the test ends.
pub struct Proxy {
    port: u16,
    state: Arc<Flights>,
}

#[derive(Default)]
struct Flights {
    count: AtomicUsize,
    direction: AtomicUsize,
    silent: AtomicBool,
    cut: AtomicBool,
}

impl Proxy {
    /// In front of the database's server.
    pub async fn start() -> Self {
        Self::start_on("127.0.0.1").await
    }

    /// The same on another of this machine's own addresses.
    pub async fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Flights::default());
        let server = database_port();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = TcpStream::connect(("127.0.0.1", server)).await.unwrap().into_split();
                tokio::spawn(forward(from_client, to_server, TO_SERVER, Arc::clone(&shared)));
                tokio::spawn(forward(from_server, to_client, TO_CLIENT, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    /// The app's database, through here.
    pub fn url(&self, app: &App) -> String {
        app.url().replace(&format!(":{}/", database_port()), &format!(":{}/", self.port))
    }

    /// How many times the client has spoken and then waited for the server: round trips.
    pub fn flights(&self) -> usize {
        self.state.count.load(Ordering::SeqCst)
    }

    /// Cuts the connection on which the server answers next, before the answer: the statement has run, and nobody knows.
    pub fn cut_next_answer(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
    }

    /// From now on, swallows everything, without closing anything; or no longer.
    pub fn swallow(&self, silent: bool) {
        self.state.silent.store(silent, Ordering::SeqCst);
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: usize, state: Arc<Flights>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if state.direction.swap(direction, Ordering::SeqCst) != direction && direction == TO_SERVER {
            state.count.fetch_add(1, Ordering::SeqCst);
        }
        if direction == TO_CLIENT && state.cut.swap(false, Ordering::SeqCst) {
            break;
        }
        if !state.silent.load(Ordering::SeqCst) && to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}
