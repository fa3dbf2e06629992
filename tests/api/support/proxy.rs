//! A TCP proxy between functions and database. It counts flights. It also resets, closes, delays and swallows connections, as networks,
//! poolers and servers do. The byte of each fault is chosen beforehand, so that a run can be repeated.
//!
//! It can also refuse a login in the words of Neon's proxy, in the form that the protocol has for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::{App, at_port, database_port, server};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// RST to both sides.
    Reset,
    /// FIN to the side that the bytes were for. The other way stays open.
    HalfClose,
    /// Nothing arrives any more, either way, and nobody is told.
    BlackHole,
    /// What follows comes so much later.
    Delay(Duration),
}

/// A fault, once so many more bytes have gone one way.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub way: Way,
    pub after: usize,
    pub fault: Fault,
}

/// Listens until the test ends.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

type Planner = dyn FnMut(usize) -> Option<Plan> + Send;
type Doorkeeper = dyn FnMut() -> Option<&'static str> + Send;

#[derive(Default)]
struct State {
    server: AtomicU16,
    flights: AtomicUsize,
    client_spoke_last: AtomicBool,
    silent: AtomicBool,
    reset: Notify,
    /// For whichever connection gets there first.
    armed: Mutex<Option<Plan>>,
    planner: Mutex<Option<Box<Planner>>>,
    doorkeeper: Mutex<Option<Box<Doorkeeper>>>,
    refusals: AtomicUsize,
    faults: Mutex<BTreeMap<&'static str, usize>>,
}

impl Proxy {
    /// In front of the database's server, or its pooler.
    pub async fn start() -> Self {
        Self::start_on("127.0.0.1").await
    }

    /// The same on another of this machine's own addresses.
    pub async fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { server: database_port().into(), ..State::default() });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            for number in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                let refusal = shared.doorkeeper.lock().unwrap().as_mut().and_then(|doorkeeper| doorkeeper());
                if let Some(text) = refusal {
                    shared.refusals.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(refuse_login(client, text));
                    continue;
                }
                let plan = shared.planner.lock().unwrap().as_mut().and_then(|planner| planner(number));
                tokio::spawn(carry(client, plan, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    /// The app's database, through here.
    pub fn url(&self, app: &App) -> String {
        at_port(&app.url(), self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, new connections go to this port of 127.0.0.1.
    pub fn retarget(&self, port: u16) {
        self.state.server.store(port, Ordering::SeqCst);
    }

    /// How many times the client has spoken and then waited for the server: round trips.
    pub fn flights(&self) -> usize {
        self.state.flights.load(Ordering::SeqCst)
    }

    /// The faults that have happened so far, by kind.
    pub fn faults(&self) -> BTreeMap<&'static str, usize> {
        self.state.faults.lock().unwrap().clone()
    }

    /// Cuts the connection on which the server answers next, before the answer: the statement has run, and nobody knows.
    pub fn cut_next_answer(&self) {
        self.arm(Plan { way: Way::ToClient, after: 0, fault: Fault::HalfClose });
    }

    /// One fault, counted from now, over all connections.
    pub fn arm(&self, plan: Plan) {
        *self.state.armed.lock().unwrap() = Some(plan);
    }

    /// Takes the armed fault back; whether it had not happened.
    pub fn disarm(&self) -> bool {
        self.state.armed.lock().unwrap().take().is_some()
    }

    /// A fault for each new connection, by its number, counted from its first byte.
    pub fn plan(&self, planner: impl FnMut(usize) -> Option<Plan> + Send + 'static) {
        *self.state.planner.lock().unwrap() = Some(Box::new(planner));
    }

    /// From now on, new connections are reset at their first byte; or no longer.
    pub fn refuse(&self, refuse: bool) {
        self.plan(move |_| refuse.then_some(Plan { way: Way::ToServer, after: 0, fault: Fault::Reset }));
    }

    /// From now on, a new connection is refused with this text, as Neon's proxy does it, if there is one.
    pub fn refuse_logins(&self, doorkeeper: impl FnMut() -> Option<&'static str> + Send + 'static) {
        *self.state.doorkeeper.lock().unwrap() = Some(Box::new(doorkeeper));
    }

    /// How many logins were refused so far.
    pub fn refusals(&self) -> usize {
        self.state.refusals.load(Ordering::SeqCst)
    }

    /// Resets all connections that there are.
    pub fn reset_all(&self) {
        self.state.reset.notify_waiters();
    }

    /// From now on, swallows everything, without closing anything; or no longer.
    pub fn swallow(&self, silent: bool) {
        self.state.silent.store(silent, Ordering::SeqCst);
    }
}

async fn carry(mut client: TcpStream, plan: Option<Plan>, state: Arc<State>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", state.server.load(Ordering::SeqCst))).await else { return };
    let fault = {
        let (from_client, mut to_client) = client.split();
        let (from_server, mut to_server) = server.split();
        let (plan, silent) = (Mutex::new(plan), AtomicBool::new(false));
        let mut up = Box::pin(forward(Way::ToServer, from_client, &mut to_server, &plan, &silent, &state));
        let mut down = Box::pin(forward(Way::ToClient, from_server, &mut to_client, &plan, &silent, &state));
        tokio::select! {
            end = &mut up => if end == Some(Fault::HalfClose) { down.await } else { end },
            end = &mut down => if end == Some(Fault::HalfClose) { up.await } else { end },
            () = state.reset.notified() => Some(Fault::Reset),
        }
    };
    if fault == Some(Fault::Reset) {
        client.set_zero_linger().unwrap();
        server.set_zero_linger().unwrap();
    }
}

/// Refuses a login over TLS with the certificate of the run's server: an `ErrorResponse` of SQLSTATE XX000, whatever the reason is. Neon's
/// proxy sends severity, code and text, and nothing else. It refuses some logins before it asks for a password, and others behind that.
async fn refuse_login(mut client: TcpStream, text: &str) -> std::io::Result<()> {
    let (certificate, key) = server().identity().unwrap();
    let identity = native_tls::Identity::from_pkcs8(&certificate, &key).unwrap();
    let acceptor = tokio_native_tls::TlsAcceptor::from(native_tls::TlsAcceptor::new(identity).unwrap());
    // The request for TLS has 8 bytes.
    client.read_exact(&mut [0; 8]).await?;
    client.write_all(b"S").await?;
    let Ok(mut client) = acceptor.accept(client).await else { return Ok(()) };
    let length = client.read_u32().await?;
    client.read_exact(&mut vec![0; length as usize - 4]).await?;
    let fields = format!("SERROR\0CXX000\0M{text}\0\0");
    client.write_all(b"E").await?;
    client.write_u32(u32::try_from(fields.len()).unwrap() + 4).await?;
    client.write_all(fields.as_bytes()).await?;
    client.shutdown().await
}

/// Until one side closes, or a fault ends the connection or this way of it.
async fn forward(
    way: Way,
    mut from: ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    plan: &Mutex<Option<Plan>>,
    silent: &AtomicBool,
    state: &State,
) -> Option<Fault> {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if !state.client_spoke_last.swap(way == Way::ToServer, Ordering::SeqCst) && way == Way::ToServer {
            state.flights.fetch_add(1, Ordering::SeqCst);
        }
        let due = due(&state.armed, way, read).or_else(|| due(plan, way, read));
        let (now, later) = buffer[..read].split_at(due.map_or(read, |(passes, _)| passes));
        let mut pass = async |bytes: &[u8]| {
            silent.load(Ordering::SeqCst) || state.silent.load(Ordering::SeqCst) || to.write_all(bytes).await.is_ok()
        };
        if !pass(now).await {
            return None;
        }
        let Some((_, fault)) = due else { continue };
        let kind = match fault {
            Fault::Reset => "resets",
            Fault::HalfClose => "half-closes",
            Fault::BlackHole => "black holes",
            Fault::Delay(_) => "delays",
        };
        *state.faults.lock().unwrap().entry(kind).or_default() += 1;
        match fault {
            Fault::Reset => return Some(fault),
            Fault::HalfClose => {
                let _ = to.shutdown().await;
                return Some(fault);
            }
            Fault::BlackHole => silent.store(true, Ordering::SeqCst),
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                if !pass(later).await {
                    return None;
                }
            }
        }
    }
    if way == Way::ToClient && silent.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    None
}

/// How many bytes of a chunk pass before the fault, if it is due.
fn due(plan: &Mutex<Option<Plan>>, way: Way, length: usize) -> Option<(usize, Fault)> {
    let mut plan = plan.lock().unwrap();
    let next = plan.as_mut().filter(|plan| plan.way == way)?;
    if next.after > length {
        next.after -= length;
        return None;
    }
    plan.take().map(|plan| (plan.after, plan.fault))
}
