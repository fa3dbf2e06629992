//! A user with one conversation, for endpoints that are measured on it. Most of them leave it in another state, so it is made anew each time.

use anyhow::Result;
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

pub(super) const USER: &str = "guest";
/// Who gets it in a transfer.
pub(super) const ACCOUNT: &str = "account";
pub(super) const CONVERSATION: Uuid = Uuid::from_u128(0x0193_6b2e_5f03_7000_8000_0000_0000_0001);
const MESSAGES: u128 = 50;
const CONTENT: &str = "Is it raining in Oslo? ";

/// The id of the message at a position.
pub(super) fn message(position: u128) -> Uuid {
    Uuid::from_u128(0x0193_6b2e_5f03_7000_8000_0001_0000_0000 + position)
}

/// What an import of it sends.
pub(super) fn lines() -> String {
    let time = "2026-11-22T10:00:00.123456Z";
    let made = json!({"id": CONVERSATION, "metadata": {}, "created_at": time, "updated_at": time, "last_message_at": time});
    let messages = (1..=MESSAGES).map(|position| {
        json!({"message": {
            "id": message(position), "conversation_id": CONVERSATION, "position": u64::try_from(position).unwrap_or_default(),
            "role": "user", "content": CONTENT.repeat(9), "metadata": {}, "status": "complete", "created_at": time, "updated_at": time,
        }})
    });
    let conversation = json!({"conversation": made, "summaries": [], "next_position": 51});
    std::iter::once(conversation).chain(messages).map(|line| line.to_string() + "\n").collect()
}

/// What stands before a request.
#[derive(Clone, Copy)]
pub(super) enum Before {
    Nothing,
    Conversation,
    /// With two summaries.
    SummarizedConversation,
}

/// Makes both users as they are before a request.
pub(super) async fn prepare(client: &Client, before: Before) -> Result<()> {
    let delete = format!("delete from conversations where user_id in ('{USER}', '{ACCOUNT}');");
    let fill = format!(
        "insert into conversations (
            id, user_id, message_count, next_position, version, characters_appended, tokens_appended, created_at, updated_at
        )
        values ('{CONVERSATION}', '{USER}', {MESSAGES}, {MESSAGES} + 1, 2, {MESSAGES} * 207, {MESSAGES} * 56, now(), now());
        insert into messages (
            conversation_id, position, id, role, content, size, characters, characters_before, tokens_before, owner_key,
            appended_version, created_at, updated_at
        )
        select '{CONVERSATION}', p, ('01936b2e-5f03-7000-8000-0001' || lpad(to_hex(p), 8, '0'))::uuid, 'user', repeat('{CONTENT}', 9),
            209, 207, (p - 1) * 207, (p - 1) * 56, owner_key('{USER}'), 2, now(), now()
        from generate_series(1, {MESSAGES}) p"
    );
    let summarize = format!(
        ";
        insert into summaries (conversation_id, through, content, messages, created_at)
        select '{CONVERSATION}', through, repeat('It rained in Oslo. ', 11), through, now() from (values (20), (40)) as made (through);
        update conversations set summary_through = 40, summary_created_at = now() where id = '{CONVERSATION}'"
    );
    let statements = match before {
        Before::Nothing => delete,
        Before::Conversation => delete + &fill,
        Before::SummarizedConversation => delete + &fill + &summarize,
    };
    Ok(client.batch_execute(&statements).await?)
}
