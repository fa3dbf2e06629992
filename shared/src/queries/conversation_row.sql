-- A conversation as functions return it, behind what became of the request. `outcome` is null where the request did what it was for, and
-- nothing new was made. `nearest` is a position that belongs to a refusal. A refusal has a version, too, and nothing behind it.
create type conversation_row as (
    outcome text, nearest bigint, version bigint, id uuid, user_id text, title text, metadata text, message_count bigint,
    created_at timestamptz, updated_at timestamptz, summary_through bigint, summary_created_at timestamptz, last_message_at timestamptz,
    archived_at timestamptz, pinned_at timestamptz, expires_at timestamptz, forked_from uuid, forked_position bigint, kept_count bigint
);

-- A row of the table as functions return it. PostgreSQL puts the columns into the statement that calls this.
create function conversation_row(c public.conversations, outcome text) returns setof conversation_row
language sql stable as $$
    select $2, null::bigint, $1.version, $1.id, $1.user_id, $1.title, $1.metadata::text, $1.message_count, $1.created_at, $1.updated_at,
        $1.summary_through, $1.summary_created_at, $1.last_message_at, $1.archived_at, $1.pinned_at, $1.expires_at, $1.forked_from,
        $1.forked_position, coalesce($1.kept_count, 0)
$$;

-- Whether a conversation is kept at this moment. `retention` is how many days conversations are kept after their last change; null: for ever.
create function is_kept(expires_at timestamptz, updated_at timestamptz, retention integer) returns boolean
language sql stable parallel safe as $$
    select ($1 is null or $1 > now()) and ($3 is null or $2 > now() - make_interval(days => $3))
$$;

-- Whether the caller may see this conversation at this moment. `owner` is the function's parameter: null for a caller who may act for any
-- user. Nothing that was read may be passed here, because a null that was read would open the conversation to everybody.
create function is_visible(c public.conversations, owner text, retention integer) returns boolean
language sql stable parallel safe as $$
    select ($2 is null or $1.user_id = $2) and is_kept($1.expires_at, $1.updated_at, $3)
$$;
