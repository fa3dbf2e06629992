-- The two tables, and the rules that only the database can keep when many functions write at once.

create table conversations (
    id uuid primary key,
    -- The caller's `sub`, or whatever its back end calls a user. "C": compared for equality only, so bytes will do.
    user_id text collate "C" not null check (char_length(user_id) between 1 and 255),
    title text check (char_length(title) <= 512),
    -- json and not jsonb, here and below: what comes back is what went in, to the byte.
    metadata json not null default '{}',
    message_count bigint not null default 0 check (message_count >= 0),
    -- The position that the next message gets. It only ever grows, so a position is never used again.
    next_position bigint not null default 1 check (next_position > message_count),
    -- Moves with every change to the conversation or its messages; an ETag.
    version bigint not null default 1,
    -- Made by get-or-create because its user had none: see the index below.
    is_first boolean not null default false,
    -- The edit or rewind that came last, and how many messages it deleted. One that is sent a second time, because the connection was
    -- lost before its answer came, is recognized by this and not done again.
    last_operation uuid,
    last_deleted bigint,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint conversations_metadata_size check (octet_length(metadata::text) <= 16384)
);

-- A user's conversations, the most recently updated first: one index range a page.
create index conversations_by_user on conversations (user_id, updated_at desc, id desc);

-- However many first calls arrive for a user at once, one insert wins and the others wait for it.
create unique index conversations_one_first on conversations (user_id) where is_first;

create table messages (
    conversation_id uuid not null references conversations on delete cascade,
    position bigint not null check (position >= 1),
    id uuid not null,
    -- A check and not an enum: drivers look enum types up, which costs round trips and breaks behind a pooler.
    role text not null check (role in ('user', 'assistant', 'tool', 'system', 'developer')),
    -- A message's content is a string (content), an array of parts (content_parts), or null.
    content text,
    content_parts json,
    -- What of the parts is text, for search.
    parts_text text,
    tool_calls json,
    tool_call_id text,
    name text,
    metadata json not null default '{}',
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- Its bytes, at least, in a response: lets a page be cut to size without reading what will not be sent.
    size integer not null generated always as (
        coalesce(octet_length(content), 0)
        + coalesce(octet_length(content_parts::text), 0)
        + coalesce(octet_length(tool_calls::text), 0)
        + coalesce(octet_length(tool_call_id), 0)
        + coalesce(octet_length(name), 0)
        + octet_length(metadata::text)
    ) stored,
    -- The characters that a model reads: what get-context's max_chars counts.
    characters integer not null generated always as (
        coalesce(char_length(content), 0)
        + coalesce(char_length(content_parts::text), 0)
        + coalesce(char_length(tool_calls::text), 0)
    ) stored,
    -- A page of history is one range of this index, whatever the table's size.
    primary key (conversation_id, position),
    -- Sending a message twice stores it once.
    constraint messages_id unique (id),
    constraint messages_content check (
        num_nonnulls(content, content_parts) <= 1 and num_nonnulls(content, content_parts, tool_calls) >= 1
    )
);
