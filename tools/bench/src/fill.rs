//! Rows to measure on, made by the server itself.

use anyhow::{Context, Result};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Messages of a conversation in a filled table, and conversations of a user.
pub(super) const MESSAGES: i64 = 50;
pub(super) const CONVERSATIONS: i64 = 20;
/// Conversations that are written to at the same time, so that the messages of one lie apart in the table, as they do in life.
const ACTIVE: i64 = 200;

/// The conversations of $1 messages.
const FILL_CONVERSATIONS: &str = "
    insert into conversations (id, user_id, title, message_count, next_position, version, created_at, updated_at)
    select
        (lpad(to_hex(1700000000000 + c * 1000), 12, '0') || '70008' || substr(md5('c' || c), 1, 15))::uuid,
        'user-' || c % greatest(1, $1 / $2 / $3), 'A conversation about ' || c, $2, $2 + 1, $2 + 1,
        '2026-01-01'::timestamptz + c * interval '1 second', '2026-01-02'::timestamptz + c * interval '1 second'
    from generate_series(0, $1 / $2 - 1) c";

/// $1 messages of about 200 bytes. Those of $3 conversations are dealt out in turns.
const FILL_MESSAGES: &str = "
    insert into messages (
        conversation_id, position, id, role, content, size, characters, characters_before, tokens_before, owner_key, created_at, updated_at
    )
    select conversation_id, position, id, role, content, octet_length(content) + 2, char_length(content), position * 200, position * 54,
        owner_key, at, at
    from (
        select
            (lpad(to_hex(1700000000000 + c * 1000), 12, '0') || '70008' || substr(md5('c' || c), 1, 15))::uuid as conversation_id,
            position,
            (lpad(to_hex(1700000000000 + i * 20), 12, '0') || '70008' || substr(md5('m' || i), 1, 15))::uuid as id,
            case when position % 2 = 1 then 'user' else 'assistant' end as role,
            repeat(md5('w' || i) || ' ', 3 + (i * 7 % 7)::integer) as content,
            '2026-01-01'::timestamptz + i * interval '20 milliseconds' as at
        from (
            select i, i / ($2 * $3) * $3 + i % $3 as c, i % ($2 * $3) / $3 + 1 as position from generate_series(0, $1 - 1) i
        ) dealt
    ) messages
        join (select id as conversation_id, owner_key(user_id) as owner_key from conversations offset 0) owners using (conversation_id)";

/// Fills empty tables with so many messages, a multiple of what the active conversations hold.
pub(super) async fn tables(client: &Client, messages: i64) -> Result<()> {
    let whole = MESSAGES * ACTIVE;
    let messages = (messages / whole).max(1) * whole;
    let conversations = [(&messages as _, Type::INT8), (&MESSAGES as _, Type::INT8), (&CONVERSATIONS as _, Type::INT8)];
    client.execute_typed(FILL_CONVERSATIONS, &conversations).await.context("cannot fill the conversations")?;
    let dealt = [(&messages as _, Type::INT8), (&MESSAGES as _, Type::INT8), (&ACTIVE as _, Type::INT8)];
    client.execute_typed(FILL_MESSAGES, &dealt).await.context("cannot fill the messages")?;
    client.batch_execute("vacuum (freeze, analyze) conversations, messages").await?;
    Ok(())
}

/// A conversation of `user`'s with so many messages of so many bytes.
pub(super) async fn conversation(client: &Client, user: &str, messages: i64, bytes: i32) -> Result<Uuid> {
    let id = Uuid::now_v7();
    let conversation = "insert into conversations (id, user_id, message_count, next_position) values ($1, $2, $3, $3 + 1)";
    client.execute_typed(conversation, &[(&id, Type::UUID), (&user, Type::TEXT), (&messages, Type::INT8)]).await?;
    let rows = "
        insert into messages (conversation_id, position, id, role, content, characters_before, tokens_before, created_at, updated_at)
        select $1, p, gen_random_uuid(), case when p % 2 = 1 then 'user' else 'assistant' end,
            left(repeat(md5(p::text) || ' ', $3 / 33 + 1), $3), p * $3, p * $3 / 4, now(), now()
        from generate_series(1, $2) p";
    client.execute_typed(rows, &[(&id, Type::UUID), (&messages, Type::INT8), (&bytes, Type::INT4)]).await?;
    client.batch_execute("vacuum (analyze) conversations, messages").await?;
    Ok(id)
}

/// Conversations with their users, from all over the table.
pub(super) async fn sample(client: &Client, count: i64) -> Result<Vec<(Uuid, String)>> {
    let spread = "
        select id, user_id from conversations where message_count = $2
        order by md5(id::text) limit $1";
    let rows = client.query_typed(spread, &[(&count, Type::INT8), (&MESSAGES, Type::INT8)]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
