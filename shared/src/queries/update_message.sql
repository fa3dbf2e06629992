-- Edits a message. A `piece` is appended to a text of `at` characters. A piece that the text has there already is not appended again. An
-- empty piece is a sign of life of the writer.
--
-- Returns no row where the owner has no such message. `outcome` is null where the request is done, or was done before. Else it says why not:
-- role (the message's role is none of `roles`, and more would change than these roles may), cancelled (a reader has stopped the reply),
-- ended (there is nothing to cancel), precondition (the version is none of `if_match`), elsewhere (the text has another `length`), parts (a
-- piece for a content that is no text) or large (the text would be).
create function update_message(
    conversation uuid, owner text, roles text[], message uuid, operation uuid, if_match bigint[], keep_content boolean, new_content text,
    new_parts text, new_parts_text text, new_media_bytes integer, new_media_tokens integer, keep_tool_calls boolean,
    new_tool_calls text, keep_metadata boolean, patch text,
    keep_token_count boolean, new_token_count integer, piece text, at bigint, max_bytes bigint, new_status text, retention integer
)
returns table (
    outcome text, length bigint, version bigint, "position" bigint, id uuid, role text, content text, content_parts text, tool_calls text,
    tool_call_id text, name text, metadata text, token_count integer, status text, created_at timestamptz, updated_at timestamptz,
    extra text
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    done boolean;
    changed_at timestamptz;
    is_text boolean;
    bytes bigint;
    was_status text;
    is_appended boolean;
    differs boolean;
    writable boolean;
    is_alive boolean;
    edited bigint;
    is_new_text boolean;
    more_characters bigint := char_length(piece);
    more_tokens bigint;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.last_operation is not distinct from operation, c.updated_at into version, done, changed_at
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner) and is_kept(c.expires_at, c.updated_at, retention)
    for update;
    if not found then
        return;
    end if;
    select m.content_parts is null, coalesce(char_length(m.content), 0), coalesce(octet_length(m.content), 0),
        case when m.in_progress then 'in_progress' when not m.in_progress then 'cancelled' else 'complete' end, roles is null or m.role = any (roles),
        piece <> '' and at + more_characters <= coalesce(char_length(m.content), 0)
            and substr(m.content, at::integer + 1, more_characters::integer) = piece,
        not keep_token_count and m.token_count is distinct from new_token_count
            or not keep_tool_calls and m.tool_calls::text is distinct from new_tool_calls
            or not keep_metadata
                and m.metadata::text <> case when patch is null then '{}' else merge_patch(m.metadata, patch::json)::text end
    into is_text, length, bytes, was_status, writable, is_appended, differs
    from public.messages m
    where m.conversation_id = conversation and m.id = message;
    if not found then
        return;
    end if;

    -- A count is no metadata here, because it decides what is in a context. Whoever may read a reply may stop it.
    if not writable
        and not (keep_content and keep_tool_calls and keep_token_count and piece is null and coalesce(new_status, 'cancelled') = 'cancelled')
    then
        outcome := 'role';
    -- The next two come before the condition, because the writer's version is the one before the reply was stopped.
    elsif not done and was_status = 'cancelled'
        and (new_status = 'complete' or not is_appended is true and (piece is not null or new_status = 'in_progress'))
    then
        outcome := 'cancelled';
    elsif not done and was_status = 'complete' and new_status = 'cancelled' then
        outcome := 'ended';
    elsif was_status = 'cancelled' and new_status = 'cancelled' and keep_content and not differs is true then
        -- Stopped already.
        done := true;
    elsif is_appended then
        -- A piece that comes again is not appended again, and opens no reply that has ended. If it still ends the text, the rest of its
        -- request is done where it was not done before.
        new_status := case when was_status = 'in_progress' and new_status <> 'in_progress' then new_status end;
        if at + more_characters < length or not (new_status is not null or differs) then
            done := true;
        elsif not done and not (if_match is null or version = any (if_match)) then
            outcome := 'precondition';
        end if;
        piece := null;
        more_characters := null;
    elsif not done and not (if_match is null or version = any (if_match)) then
        outcome := 'precondition';
    elsif not done and piece is not null then
        outcome := case
            when not is_text and piece <> '' then 'parts'
            when at <> length then 'elsewhere'
            when bytes + octet_length(piece) > max_bytes then 'large'
        end;
    end if;
    if piece = '' then
        is_alive := was_status = 'in_progress';
        piece := null;
    end if;
    is_new_text := not (keep_content and keep_tool_calls) or piece is not null or new_status <> was_status;
    if outcome is null and not done and (is_new_text is true or not (keep_metadata and keep_token_count)) then
        changed_at := greatest(clock_timestamp(), changed_at + interval '1 microsecond');
        -- An estimate of tokens takes four bytes for one.
        more_tokens := (bytes + octet_length(piece) + 3) / 4 - (bytes + 3) / 4;
        update public.messages m
        set content = n.content,
            content_parts = n.content_parts::json,
            parts_text = case when keep_content then m.parts_text else new_parts_text end,
            media_bytes = case when keep_content then m.media_bytes else new_media_bytes end,
            media_tokens = case when keep_content then m.media_tokens else new_media_tokens end,
            tool_calls = n.tool_calls::json,
            metadata = n.metadata::json,
            -- A count of the text before would be wrong.
            token_count = case
                when not keep_token_count then new_token_count
                when keep_content and keep_tool_calls and piece is null then m.token_count
            end,
            in_progress = case coalesce(new_status, was_status) when 'in_progress' then true when 'cancelled' then false end,
            updated_at = changed_at,
            alive_at = null,
            size = message_size(n.content, n.content_parts, n.tool_calls, m.tool_call_id, m.name, n.metadata, m.extra::text),
            characters = message_characters(n.content, n.content_parts, n.tool_calls)
        from (
            select
                case
                    when not keep_content then new_content
                    when piece is not null then coalesce(o.content, '') || piece
                    else o.content
                end as content,
                case when keep_content then o.content_parts::text else new_parts end as content_parts,
                case when keep_tool_calls then o.tool_calls::text else new_tool_calls end as tool_calls,
                case
                    when keep_metadata then o.metadata::text
                    when patch is null then '{}'
                    else merge_patch(o.metadata, patch::json)::text
                end as metadata
            from public.messages o
            where o.conversation_id = conversation and o.id = message
        ) n
        where m.conversation_id = conversation and m.id = message
        returning m.position into edited;
        update public.conversations c
        set version = c.version + 1,
            updated_at = changed_at,
            last_operation = operation,
            -- The rulers grow with a reply that is being written.
            characters_appended = c.characters_appended + coalesce(more_characters, 0),
            tokens_appended = c.tokens_appended + coalesce(more_tokens, 0)
        where c.id = conversation
        returning c.version into version;
        -- Metadata and a count say nothing that a summary could have said.
        if is_new_text then
            perform change_messages(conversation, edited, version);
        end if;
    elsif outcome is null and not done and is_alive then
        -- Readers see no change, so there is no new version. If the reply had lost its writer, it is as it was before that.
        update public.messages m set alive_at = clock_timestamp() where m.conversation_id = conversation and m.id = message;
    end if;
    return query
    select outcome, length, version, m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id,
        m.name, m.metadata::text, m.token_count, message_status(m.in_progress, m.alive_at, m.updated_at), m.created_at, m.updated_at,
        m.extra::text
    from public.messages m
    where m.conversation_id = conversation and m.id = message;
end
$$;
