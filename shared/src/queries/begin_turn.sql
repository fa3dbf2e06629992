-- Begins a turn. Stores messages as `add_message` does, and reads the context behind them as `get_context` does. If `of_user` is given, it first
-- creates the conversation if it is not there. All of it, or nothing.
--
-- Returns no row where the owner has no such conversation. Where nothing may be stored, one row has an `outcome`: taken, if the conversation
-- is another user's, or one of those of `add_message`. Otherwise there is a row for each message, of kind 5, with those columns that
-- `add_message` returns. If all were stored before, the reply is of kind 6 and has all columns, because something may have been written
-- into it. If `of_user` is given, one row has the conversation, and no kind. The rest are the rows of `get_context`.
create function begin_turn(
    conversation uuid, owner text, if_match bigint[], ids uuid[], roles text[], contents text[], parts text[], parts_texts text[],
    tool_calls text[], tool_call_ids text[], names text[], metadata text[],
    extras text[], token_counts integer[], unfinished boolean[], characters bigint[], characters_through bigint[], tokens_through bigint[],
    media_bytes integer[], media_tokens integer[], replaced bigint, has_parent boolean, parent uuid, has_reply boolean,
    of_user text, new_title text, new_metadata text, expires_in bigint,
    max_messages bigint, max_characters bigint, max_bytes bigint, max_tokens bigint, retention integer
)
returns table (
    outcome text, nearest bigint, version bigint, conversation_id uuid, user_id text, title text, conversation_metadata text,
    conversation_messages bigint, conversation_created_at timestamptz, conversation_updated_at timestamptz, summary_through bigint,
    summary_created_at timestamptz, last_message_at timestamptz, archived_at timestamptz, pinned_at timestamptz, expires_at timestamptz,
    forked_from uuid, forked_position bigint, kept_count bigint,
    replayed boolean,
    context_version bigint, message_count bigint, kind integer, "position" bigint, id uuid, role text, content text, content_parts text,
    calls text, tool_call_id text, name text, message_metadata text, token_count integer, status text, created_at timestamptz,
    updated_at timestamptz, extra text, feedback text, characters_before bigint, tokens_before bigint, summarized bigint
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    is_new boolean := false;
    appended record;
    messages constant integer := cardinality(ids);
    place integer := 0;
begin
    if of_user is not null then
        select c.outcome is not null into is_new
        from get_or_create_conversation(conversation, of_user, new_title, new_metadata, true, expires_in, retention) c;
        if not found then
            outcome := 'taken';
            return next;
            return;
        end if;
    end if;

    kind := 5;
    for appended in
        select a.*
        from add_message(
            conversation, owner, if_match, ids, roles, contents, parts, parts_texts, tool_calls, tool_call_ids, names, metadata, extras,
            token_counts, unfinished, characters, characters_through, tokens_through, media_bytes, media_tokens, replaced, has_parent,
            parent, has_reply, retention
        ) a
    loop
        outcome := appended.outcome;
        nearest := appended.number;
        version := appended.version;
        replayed := appended.replayed;
        position := appended.position;
        status := appended.status;
        created_at := appended.created_at;
        updated_at := appended.updated_at;
        feedback := appended.feedback;
        place := place + 1;
        if outcome is null and has_reply and replayed and place = messages then
            return query
            select (null::conversation_row).*, replayed, null::bigint, null::bigint, 6, m.position, m.id, m.role, m.content, m.content_parts,
                m.tool_calls, m.tool_call_id, m.name, m.metadata, m.token_count, m.status, m.created_at, m.updated_at, m.extra, m.feedback,
                null::bigint, null::bigint, null::bigint
            from get_message(conversation, owner, ids[messages], '{}', null, retention) m;
        else
            return next;
        end if;
    end loop;
    if not found then
        return;
    end if;
    if outcome is not null then
        if is_new then
            delete from public.conversations c where c.id = conversation;
        end if;
        return;
    end if;

    if of_user is not null then
        return query
        select shown.*, replayed, (null::context_row).*
        from public.conversations c, conversation_row(c, null) shown
        where c.id = conversation;
    end if;
    return query
    select (null::conversation_row).*, replayed, read.*
    from get_context(conversation, owner, max_messages, max_characters, max_bytes, '{}', max_tokens, retention) read;
end
$$;
