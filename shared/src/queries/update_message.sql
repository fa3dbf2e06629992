-- Edits a message. A `piece` is appended to a text of `at` characters. A piece that the text has there already is not appended again. An
-- empty piece is a sign of life of the writer. Values that are there already change nothing.
--
-- Returns no row where the owner has no such message. `outcome` is null where the request is done, or was done before. Else it says why not:
-- role (the message's role is none of `roles`, and more would change than these roles may), cancelled (a reader has stopped the reply),
-- ended (there is nothing to cancel), precondition (the version is none of `if_match`),
-- reused (another request had this operation), elsewhere (the text has another `length`), parts (a piece for a content that is no text) or large (the text would be).
-- `repeated`: it was done before. A piece is recognized by its place, and anything else by its operation. Then the version is what it was
-- behind it, or an older one.
create function update_message(
    conversation uuid, owner text, roles text[], message uuid, operation uuid, request integer, if_match bigint[], keep_content boolean, new_content text,
    new_parts text, new_parts_text text, new_media_bytes integer, new_media_tokens integer, keep_tool_calls boolean, new_tool_calls text, keep_metadata boolean, patch text,
    keep_token_count boolean, new_token_count integer, keep_feedback boolean, new_feedback text, piece text, at bigint, max_bytes bigint,
    new_status text, retention integer
)
returns table (
    outcome text, length bigint, version bigint, "position" bigint, id uuid, role text, content text, content_parts text, tool_calls text,
    tool_call_id text, name text, metadata text, token_count integer, status text, created_at timestamptz, updated_at timestamptz,
    extra text, feedback text, repeated boolean
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    done record;
    changed_at timestamptz;
    is_text boolean;
    bytes bigint;
    was_status text;
    is_appended boolean;
    touched_at timestamptz;
    appended_in bigint;
    new_metadata text;
    has_other_text boolean;
    has_other_facts boolean;
    writable boolean;
    is_alive boolean;
    edited bigint;
    is_new_text boolean;
    is_changed boolean;
    more_characters bigint := char_length(piece);
    is_remembered boolean := piece is null or if_match is not null;
    more_tokens bigint;
    has_kept boolean;
    -- If the message is kept, the position of the one that it follows.
    parent bigint;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.updated_at, c.kept_count > 0 into version, changed_at, has_kept
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention)
    for update;
    if not found then
        return;
    end if;
    if has_kept then
        -- A kept message is on the line while it is edited. It is put back below, in this transaction, so nobody sees it there.
        select k.position, k.parent_position into edited, parent from kept_among(conversation, array[message]) k;
        if found then
            perform bring_messages(conversation, array[edited]);
        end if;
    end if;
    select m.content_parts is null, coalesce(char_length(m.content), 0), coalesce(octet_length(m.content), 0),
        case when m.in_progress then 'in_progress' when not m.in_progress then 'cancelled' else 'complete' end,
        roles is null or m.role = any (roles),
        piece <> '' and at + more_characters <= coalesce(char_length(m.content), 0)
            and substr(m.content, at::integer + 1, more_characters::integer) = piece,
        not keep_content and (m.content, m.content_parts::text) is distinct from (new_content, new_parts)
            or not keep_tool_calls and m.tool_calls::text is distinct from new_tool_calls,
        m.updated_at, coalesce(m.appended_version, 1), one.metadata,
        not keep_token_count and m.token_count is distinct from new_token_count
            or not keep_metadata and not same_json(m.metadata::text, one.metadata)
            or not keep_feedback and m.feedback::text is distinct from new_feedback
    into is_text, length, bytes, was_status, writable, is_appended, has_other_text, touched_at, appended_in,
        new_metadata, has_other_facts
    from public.messages m
        cross join lateral (
            select case
                when keep_metadata then m.metadata::text
                when patch is null then '{}'
                else merge_patch(m.metadata, patch::json)::text
            end as metadata
        ) one
    where m.conversation_id = conversation and m.id = message;
    if not found then
        return;
    end if;
    -- A piece is recognized by its place. The pieces of one reply would push all other requests out of what is remembered.
    if is_remembered then
        select r.outcome, r.version into done from recall(conversation, operation, request) r;
        repeated := done.outcome is not distinct from 'repeated';
        version := case when repeated then done.version else version end;
        outcome := nullif(done.outcome, 'repeated');
    else
        repeated := false;
    end if;

    -- A count is no metadata here, because it decides what is in a context. Everybody who may read a message may rate it, and stop it.
    if repeated or outcome is not null then
        null;
    elsif not writable
        and not (keep_content and keep_tool_calls and keep_token_count and piece is null and coalesce(new_status, 'cancelled') = 'cancelled')
    then
        outcome := 'role';
    -- The next two come before the condition, because the writer's version is the one before the reply was stopped.
    elsif was_status = 'cancelled'
        and (new_status = 'complete' or not is_appended is true and (piece is not null or new_status = 'in_progress'))
    then
        outcome := 'cancelled';
    elsif was_status = 'complete' and new_status = 'cancelled' then
        outcome := 'ended';
    elsif was_status = 'cancelled' and new_status = 'cancelled' and not (has_other_text or has_other_facts) then
        -- Stopped already.
        piece := null;
        more_characters := null;
    elsif is_appended then
        -- A piece that comes again is not appended again, and opens no reply that has ended. If it still ends the text, the rest of its
        -- request is done where it was not done before.
        new_status := case when was_status = 'in_progress' and new_status <> 'in_progress' then new_status end;
        if at + more_characters < length or not (new_status is not null or has_other_text or has_other_facts) then
            repeated := true;
            -- The version behind that piece is not known if the conversation has changed since. An older one matches less.
            version := case when touched_at = changed_at then version else appended_in end;
        elsif not (if_match is null or version = any (if_match)) then
            outcome := 'precondition';
        end if;
        piece := null;
        more_characters := null;
    elsif not (if_match is null or version = any (if_match)) then
        outcome := 'precondition';
    elsif piece is not null then
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
    is_new_text := coalesce(has_other_text or piece is not null or new_status <> was_status, false);
    is_changed := outcome is null and not repeated and (is_new_text or has_other_facts);
    if is_changed then
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
                when not has_other_text and coalesce(piece, '') = '' then m.token_count
            end,
            in_progress = case coalesce(new_status, was_status) when 'in_progress' then true when 'cancelled' then false end,
            updated_at = changed_at,
            -- Feedback is no sign of the writer.
            alive_at = case
                when was_status = 'in_progress' and keep_metadata and keep_token_count and not coalesce(is_new_text or is_alive, false)
                    then coalesce(m.alive_at, m.updated_at)
            end,
            feedback = case when keep_feedback then m.feedback else new_feedback::json end,
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
                new_metadata as metadata
            from public.messages o
            where o.conversation_id = conversation and o.id = message
        ) n
        where m.conversation_id = conversation and m.id = message
        returning m.position into edited;
        update public.conversations c
        set version = c.version + 1,
            updated_at = changed_at,
            -- The rulers grow with a reply that is being written.
            characters_appended = c.characters_appended + coalesce(more_characters, 0),
            tokens_appended = c.tokens_appended + coalesce(more_tokens, 0)
        where c.id = conversation
        returning c.version into version;
        -- Metadata, a count and feedback say nothing that a summary could have said.
        if is_new_text and parent is null then
            perform change_messages(conversation, edited, false, version);
        end if;
    elsif outcome is null and not repeated and is_alive then
        -- Readers see no change, so there is no new version. If the reply had lost its writer, it is as it was before that.
        update public.messages m set alive_at = clock_timestamp() where m.conversation_id = conversation and m.id = message;
    end if;
    if outcome is null and not repeated and is_remembered then
        perform remember(conversation, operation, request, version, null);
    end if;
    return query
    select outcome, length, version, m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id,
        m.name, m.metadata::text, m.token_count, message_status(m.in_progress, m.alive_at, m.updated_at), m.created_at, m.updated_at,
        m.extra::text, m.feedback::text, repeated
    from public.messages m
    where m.conversation_id = conversation and m.id = message;
    if parent is not null then
        perform keep_messages(conversation, edited, edited, parent);
        if is_changed and is_new_text then
            perform change_messages(conversation, edited, true, version);
        end if;
    end if;
end
$$;
