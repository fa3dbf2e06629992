//! The least that a statement can cost: plain tokio-postgres on one warm TLS connection, and what it takes to open one.
//!
//! Says `ready` when it runs. Then each line of standard input is a [`Job`], and is answered by a line: a JSON array of milliseconds.
//! The database's URL is `DATABASE_URL`.

use std::error::Error;
use std::io::{BufRead, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_native_tls::{MakeTlsConnector, TlsConnector, TlsStream};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_postgres::config::Host;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};

use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What to measure.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Job {
    /// The statement that is run from now on.
    Prepare(Statement),
    /// So many runs of it. The times are one a run, and last the CPU time of all.
    Run(usize),
    /// The times are of the parts of one cold start: the TLS connector, TCP and TLS, authentication, and the statement.
    Connect,
}

/// A statement as a function has sent it.
#[derive(Deserialize)]
struct Statement {
    sql: String,
    types: Vec<u32>,
    values: Vec<Option<Vec<u8>>>,
    /// The id in the values that has to be another one each time.
    fresh: Option<Uuid>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    println!("ready");
    let url = std::env::var("DATABASE_URL")?;
    let config = shared::config::database("DATABASE_URL", &url)?;
    let (mut warm, mut prepared) = (None, None);
    for line in std::io::stdin().lock().lines() {
        let job = serde_json::from_str(&line?)?;
        if let Job::Prepare(statement) = job {
            prepared = Some(statement);
            continue;
        }
        let statement = prepared.as_ref().ok_or("a statement comes first")?;
        let times = if let Job::Run(times) = job {
            let client = match &warm {
                Some(client) => client,
                None => warm.insert(connect(&config).await?.0),
            };
            let mut taken = Vec::with_capacity(times + 1);
            let before = cpu()?;
            for _ in 0..times {
                taken.push(run(client, statement).await?);
            }
            taken.push(cpu()?.saturating_sub(before));
            taken
        } else {
            let (client, mut parts) = connect(&config).await?;
            parts.push(run(&client, statement).await?);
            parts
        };
        let times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        println!("{}", serde_json::to_string(&times)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// The CPU time that this process has taken.
fn cpu() -> Outcome<Duration> {
    Ok(rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).try_into()?)
}

async fn run(client: &Client, statement: &Statement) -> Outcome<Duration> {
    let fresh = Uuid::now_v7();
    let values: Vec<Value> =
        statement.values.iter().map(|value| Value(value.as_deref(), statement.fresh.zip(Some(fresh)))).collect();
    let types = statement.types.iter().map(|oid| Type::from_oid(*oid).ok_or("not a built-in type"));
    let types = types.collect::<Result<Vec<_>, _>>()?;
    let parameters: Vec<(&(dyn ToSql + Sync), Type)> = values.iter().map(|value| value as _).zip(types).collect();
    let started = Instant::now();
    client.query_typed(&statement.sql, &parameters).await?;
    Ok(started.elapsed())
}

/// A connection, and how long it took to build a connector, to agree on TLS, and to authenticate.
async fn connect(config: &Config) -> Outcome<(Client, Vec<Duration>)> {
    let started = Instant::now();
    let mut make = shared::tls_connector(config.get_ssl_negotiation())?;
    let built = Instant::now();
    let [Host::Tcp(host)] = config.get_hosts() else { return Err("one host is wanted".into()) };
    let socket = TcpStream::connect((host.as_str(), config.get_ports()[0])).await?;
    socket.set_nodelay(true)?;
    let agreed = Arc::new(Mutex::new(built));
    let connector = <MakeTlsConnector as MakeTlsConnect<TcpStream>>::make_tls_connect(&mut make, host)?;
    let (client, connection) = config.connect_raw(socket, Timed { connector, agreed: Arc::clone(&agreed) }).await?;
    let authenticated = Instant::now();
    tokio::spawn(connection);
    let agreed = *agreed.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((client, vec![built - started, agreed - built, authenticated - agreed]))
}

/// Notes when TLS is agreed on.
struct Timed {
    connector: TlsConnector,
    agreed: Arc<Mutex<Instant>>,
}

impl TlsConnect<TcpStream> for Timed {
    type Stream = TlsStream<TcpStream>;
    type Error = <TlsConnector as TlsConnect<TcpStream>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let stream = self.connector.connect(stream).await;
            *self.agreed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            stream
        })
    }
}

/// A parameter in the bytes in which it was sent, with an id in them replaced by another.
#[derive(Debug)]
struct Value<'a>(Option<&'a [u8]>, Option<(Uuid, Uuid)>);

impl ToSql for Value<'_> {
    fn to_sql(&self, _type: &Type, out: &mut BytesMut) -> Outcome<IsNull> {
        let Some(value) = self.0 else { return Ok(IsNull::Yes) };
        let at = out.len();
        out.extend_from_slice(value);
        if let Some((old, new)) = self.1
            && let Some(found) = value.windows(16).position(|window| window == old.as_bytes())
        {
            out[at + found..at + found + 16].copy_from_slice(new.as_bytes());
        }
        Ok(IsNull::No)
    }

    fn accepts(_type: &Type) -> bool {
        true
    }

    fn encode_format(&self, _type: &Type) -> Format {
        Format::Binary
    }

    to_sql_checked!();
}
