//! What it costs to store the next piece of a reply that is being written, by the length that the reply has already.

use anyhow::Result;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::figures::{Figure, median, milliseconds};
use super::function::Function;
use super::subjects::event;
use super::{Bench, fill, written};
use local::progress;

const GROUP: &str = "100 characters more of a reply";
/// Lengths of the reply, in characters.
const LENGTHS: [usize; 3] = [1_000, 10_000, 100_000];

/// Adds the time of a request, and the bytes that the server writes to its log (WAL).
pub(super) async fn measure(bench: &mut Bench, database: &str) -> Result<()> {
    let _step = progress::step("a reply that is being written");
    let superuser = bench.connect(database).await?;
    let mut environment = bench.subjects.environment(&bench.server.functions_url(database));
    environment.push(("USER_ROLES".to_owned(), "user,assistant".to_owned()));
    let function = Function::start(&bench.subjects.binary("update-message"), &environment)?;
    for length in LENGTHS {
        let (mut times, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..bench.scale.processes {
            let conversation = fill::conversation(&superuser, "writer", 100, 200).await?;
            let path = begin(&superuser, conversation, length).await?;
            for turn in 0..bench.scale.calls {
                let at = length + 100 * turn;
                let body = serde_json::json!({"append": text(at + 100)[at..].to_owned(), "at": at}).to_string();
                let event = event("PATCH", path.clone(), "", Some(body), "writer", None)?.bytes();
                let before = written(&superuser).await?;
                times.push(milliseconds(function.call(&event)?));
                bytes.push(written(&superuser).await? - before);
            }
        }
        bench.figures.add(Figure::new(GROUP, format!("{length} characters so far: a request"), median(&mut times), "ms"));
        bench.figures.add(Figure::new(GROUP, format!("{length} characters so far: bytes of WAL"), median(&mut bytes), "B"));
    }
    Ok(())
}

/// Makes the newest message of a conversation a reply of this length. Returns its path.
async fn begin(superuser: &Client, conversation: Uuid, length: usize) -> Result<String> {
    let begin = "
        update messages set content = $2, in_progress = true
        where conversation_id = $1 and position = (select max(position) from messages where conversation_id = $1)
        returning id";
    let content = text(length);
    let rows = superuser.query_typed(begin, &[(&conversation, Type::UUID), (&content, Type::TEXT)]).await?;
    Ok(format!("/conversations/{conversation}/messages/{}", rows[0].try_get::<_, Uuid>(0)?))
}

/// Text that is compressed about as well as what people write.
fn text(length: usize) -> String {
    const WORDS: [&str; 16] =
        ["the", "rain", "in", "Oslo", "is", "light", "today", "and", "an", "umbrella", "will", "do", "for", "most", "of", "it"];
    let mut text = String::new();
    let mut state = 1_u32;
    while text.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(WORDS[state as usize >> 28]);
        text.push(' ');
    }
    text.truncate(length);
    text
}
