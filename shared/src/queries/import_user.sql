-- Line breaks between the tokens of JSON, which an export writes as spaces, are no difference.
create function in_one_line(value text) returns text
language sql immutable parallel safe as $$
    select translate($1, E'\n\r', '  ')
$$;

-- Stores lines of an export for a user: all of them that are not there yet, or none. The numbers of the lines come with them. `outcome` is
-- conflict where the line `line` is stored with other content, and missing where it is a message of no conversation of the user's. It is
-- parent where it is a kept message, and what it follows is not there or has no smaller position.
--
-- A conversation that has expired is stored without its messages and summaries, so that later lines find it. A purge deletes it. Its lines
-- are counted in `expired`.
create function import_user(
    of_user text, conversation_lines bigint[], conversation_ids uuid[], titles text[], conversation_metadata text[],
    made timestamptz[], changed timestamptz[], last_messages timestamptz[], archived timestamptz[], pinned timestamptz[],
    ends timestamptz[], forks_from uuid[], fork_positions bigint[], next_positions bigint[],
    summary_lines bigint[], summary_conversations uuid[], throughs bigint[], summary_contents text[], summary_token_counts integer[],
    summarized bigint[], summarized_at timestamptz[],
    message_lines bigint[], message_conversations uuid[], positions bigint[], ids uuid[], roles text[], contents text[], parts text[],
    parts_texts text[], tool_calls text[], tool_call_ids text[], names text[], metadata text[], extras text[], feedbacks text[], token_counts integer[],
    unfinished boolean[], created timestamptz[], updated timestamptz[], characters bigint[], tokens bigint[],
    media_bytes integer[], media_tokens integer[], kept boolean[], parents uuid[], retention integer
)
returns table (outcome text, line bigint, conversations bigint, messages bigint, skipped bigint, expired bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    stored uuid[];
    ended uuid[];
    grown uuid[];
    summarized_in uuid[];
    added_to uuid[];
    added_first bigint[];
    added bigint[];
    added_kept bigint[];
    parent_positions bigint[];
    added_last bigint[];
    added_newest timestamptz[];
    added_characters bigint[];
    added_tokens bigint[];
begin
    -- Imports, erasures, transfers and forks of one user take turns.
    perform pg_advisory_xact_lock(hashtextextended('scrollback erasure ' || of_user, 0));
    -- What has expired counts as deleted, so its id is free. If an earlier page of this import stored it, it stays.
    delete from public.conversations c
    using unnest(conversation_ids, made, changed, ends) as i (id, created_at, updated_at, expires_at)
    where c.id = i.id and not is_kept(c.expires_at, c.updated_at, retention)
        and (c.user_id <> of_user or c.created_at <> i.created_at or is_kept(i.expires_at, i.updated_at, retention));
    -- A purge may have begun to delete it.
    with free as (
        delete from public.erased_conversations e where e.id = any (conversation_ids) and e.erased_at is null returning e.id
    )
    delete from public.messages m using free f where m.conversation_id = f.id;
    -- Writers to these conversations wait from here on.
    select array_agg(own.id) into stored
    from (
        select c.id
        from (select distinct named.id from unnest(conversation_ids || message_conversations) as named (id)) i
            join public.conversations c on c.id = i.id
        where c.user_id = of_user
        order by c.id
        for update of c
    ) own;
    stored := coalesce(stored, '{}');
    -- Those of them and of the lines that have expired.
    select coalesce(array_agg(gone.id), '{}') into ended
    from (
        select c.id from public.conversations c where c.id = any (stored) and not is_kept(c.expires_at, c.updated_at, retention)
        union all
        select i.id
        from unnest(conversation_ids, changed, ends) as i (id, updated_at, expires_at)
        where i.id <> all (stored) and not is_kept(i.expires_at, i.updated_at, retention)
    ) gone;
    select count(*) filter (where i.id = any (ended)) into expired from unnest(conversation_ids || message_conversations) as i (id);

    select min(found.line) into line
    from (
        select i.line
        from unnest(
                conversation_lines, conversation_ids, titles, conversation_metadata, made, changed, last_messages, archived, pinned, ends,
                forks_from, fork_positions, next_positions
            ) as i (
                line, id, title, metadata, created_at, updated_at, last_message_at, archived_at, pinned_at, expires_at, forked_from,
                forked_position, next_position
            )
            join public.conversations c on c.id = i.id
        where i.id <> all (ended) and ((
                c.user_id, c.title, in_one_line(c.metadata::text), c.created_at, c.updated_at, c.archived_at, c.pinned_at, c.expires_at,
                c.forked_from, c.forked_position
            ) is distinct from (
                of_user, i.title, in_one_line(i.metadata), i.created_at, i.updated_at, i.archived_at, i.pinned_at, i.expires_at,
                i.forked_from, i.forked_position
            )
            -- A message of a later page may have been appended after the line was written.
            or c.next_position < i.next_position
            -- And messages may be newer than the line says.
            or c.next_position = i.next_position and coalesce(c.last_message_at, '-infinity') < i.last_message_at)
        union all
        select i.line
        from unnest(conversation_lines, conversation_ids) as i (line, id)
            join public.erased_conversations e on e.id = i.id
        union all
        select i.line
        from unnest(
                summary_lines, summary_conversations, throughs, summary_contents, summary_token_counts, summarized, summarized_at
            ) as i (line, conversation_id, through, content, token_count, messages, created_at)
            join public.summaries s on s.conversation_id = i.conversation_id and s.through = i.through
        where i.conversation_id <> all (ended) and (s.content, s.token_count, coalesce(s.claimed, s.messages), s.created_at)
            is distinct from (i.content, i.token_count, i.messages, i.created_at)
        union all
        select i.line
        from unnest(message_lines, message_conversations, positions, ids) as i (line, conversation_id, position, id)
            join stored_messages m on m.conversation_id = i.conversation_id and m.position = i.position
        where i.conversation_id = any (stored) and i.conversation_id <> all (ended) and m.id <> i.id
        union all
        select i.line
        from unnest(
                message_lines, message_conversations, positions, ids, roles, contents, parts, tool_calls, tool_call_ids, names, metadata,
                extras, feedbacks, token_counts, unfinished, created, updated
            ) as i (
                line, conversation_id, position, id, role, content, content_parts, tool_calls, tool_call_id, name, metadata, extra, feedback, token_count,
                in_progress, created_at, updated_at
            )
            join stored_messages m on m.id = i.id and m.conversation_id = i.conversation_id
        where i.conversation_id = any (stored) and i.conversation_id <> all (ended) and (
                m.position, m.role, m.content, in_one_line(m.content_parts::text), in_one_line(m.tool_calls::text), m.tool_call_id, m.name,
                in_one_line(m.metadata::text), in_one_line(m.extra::text), m.feedback::text, m.token_count, m.in_progress, m.created_at, m.updated_at
            ) is distinct from (
                i.position, i.role, i.content, in_one_line(i.content_parts), in_one_line(i.tool_calls), i.tool_call_id, i.name,
                in_one_line(i.metadata), in_one_line(i.extra), i.feedback, i.token_count, i.in_progress, i.created_at, i.updated_at
            )
    ) found;
    if line is not null then
        outcome := 'conflict';
        return next;
        return;
    end if;
    select min(i.line) into line
    from unnest(message_lines, message_conversations) as i (line, conversation_id)
    where i.conversation_id <> all (stored) and i.conversation_id <> all (conversation_ids);
    if line is not null then
        outcome := 'missing';
        return next;
        return;
    end if;

    if true = any (kept) then
        select array_agg(found.parent_position order by found.number),
            min(found.line) filter (where found.is_kept and (found.parent_position >= found.position) is not false)
        into parent_positions, line
        from (
            select i.number, i.line, i.position, i.is_kept and i.conversation_id <> all (ended) as is_kept,
                case
                    when i.parent is null then 0
                    else coalesce(
                        (
                            select p.position
                            from unnest(message_lines, message_conversations, ids, positions) as p (line, conversation_id, id, position)
                            where p.conversation_id = i.conversation_id and p.id = i.parent and p.line < i.line
                        ),
                        (select p.position from place_of(i.conversation_id, i.parent) p)
                    )
                end as parent_position
            from unnest(message_lines, message_conversations, positions, kept, parents) with ordinality
                as i (line, conversation_id, position, is_kept, parent, number)
        ) found;
        if line is not null then
            outcome := 'parent';
            return next;
            return;
        end if;
    end if;

    with fresh as (
        insert into public.conversations (
            id, user_id, title, metadata, next_position, created_at, updated_at, last_message_at, archived_at, pinned_at, expires_at,
            forked_from, forked_position
        )
        select i.id, of_user, i.title, i.metadata::json, i.next_position, i.created_at, i.updated_at, i.last_message_at, i.archived_at,
            i.pinned_at, i.expires_at, i.forked_from, i.forked_position
        from unnest(
                conversation_ids, titles, conversation_metadata, made, changed, last_messages, archived, pinned, ends, forks_from,
                fork_positions, next_positions
            ) as i (
                id, title, metadata, created_at, updated_at, last_message_at, archived_at, pinned_at, expires_at, forked_from, forked_position,
                next_position
            )
        where i.id <> all (stored)
        returning id
    )
    select count(*) filter (where f.id <> all (ended)) into conversations from fresh f;

    with fresh as (
        insert into public.summaries (conversation_id, through, content, token_count, messages, created_at)
        select i.conversation_id, i.through, i.content, i.token_count, i.messages, i.created_at
        from unnest(summary_conversations, throughs, summary_contents, summary_token_counts, summarized, summarized_at)
            as i (conversation_id, through, content, token_count, messages, created_at)
        where i.conversation_id <> all (ended)
        on conflict on constraint summaries_pkey do nothing
        returning conversation_id
    )
    select coalesce(array_agg(distinct f.conversation_id), '{}') into grown from fresh f;
    -- How much each conversation gets.
    select array_agg(i.conversation_id), array_agg(i.messages), array_agg(i.kept), array_agg(i.first), array_agg(i.last),
        array_agg(i.newest), array_agg(i.characters), array_agg(i.tokens)
    into added_to, added, added_kept, added_first, added_last, added_newest, added_characters, added_tokens
    from (
        select i.conversation_id, count(*) filter (where i.is_kept is not true) as messages, count(*) filter (where i.is_kept) as kept, min(i.position) as first, max(i.position) as last, max(i.created_at) as newest,
            sum(i.characters)::bigint as characters, sum(i.tokens)::bigint as tokens
        from unnest(message_conversations, positions, ids, created, characters, tokens, kept)
            as i (conversation_id, position, id, created_at, characters, tokens, is_kept)
        where i.conversation_id <> all (ended)
            and not exists (select from public.messages m where m.id = i.id and m.conversation_id = i.conversation_id)
            and not exists (select from public.kept_messages k where k.id = i.id and k.conversation_id = i.conversation_id)
        group by i.conversation_id
    ) i;
    -- The rulers of a conversation count on from what it has.
    with fresh as (
        select i.conversation_id, i.position, i.id, i.role, i.content, i.content_parts::json as content_parts, i.parts_text,
            i.tool_calls::json as tool_calls, i.tool_call_id, i.name, i.metadata::json as metadata, i.extra::json as extra,
            i.feedback::json as feedback, i.token_count, i.in_progress,
            coalesce(c.characters_appended, 0) + sum(i.characters) over in_order - i.characters as characters_before,
            coalesce(c.tokens_appended, 0) + sum(i.tokens) over in_order - i.tokens as tokens_before, i.created_at, i.updated_at,
            message_size(i.content, i.content_parts, i.tool_calls, i.tool_call_id, i.name, i.metadata, i.extra) as size, i.characters,
            -- What was there before gets a new version below.
            case when c.id = any (stored) then c.version + 1 else c.version end as appended_version,
            i.media_bytes, i.media_tokens, i.is_kept is true as is_kept, i.parent_position
        from unnest(
                message_lines, message_conversations, positions, ids, roles, contents, parts, parts_texts, tool_calls, tool_call_ids, names,
                metadata, extras, feedbacks, token_counts, unfinished, created, updated, characters, tokens,
                media_bytes, media_tokens, kept, parent_positions
            ) as i (
                line, conversation_id, position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata,
                extra, feedback, token_count, in_progress, created_at, updated_at, characters, tokens, media_bytes, media_tokens, is_kept,
                parent_position
            )
            join public.conversations c on c.id = i.conversation_id
        where i.conversation_id <> all (ended)
            and not exists (select from public.messages m where m.id = i.id and m.conversation_id = i.conversation_id)
            and not exists (select from public.kept_messages k where k.id = i.id and k.conversation_id = i.conversation_id)
        window in_order as (partition by i.conversation_id order by i.line rows unbounded preceding)
    ), of_line as (
        insert into public.messages (
            conversation_id, position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata, extra, feedback,
            token_count, in_progress, characters_before, tokens_before, created_at, updated_at, size, characters, owner_key,
            appended_version, media_bytes, media_tokens
        )
        select f.conversation_id, f.position, f.id, f.role, f.content, f.content_parts, f.parts_text, f.tool_calls, f.tool_call_id, f.name,
            f.metadata, f.extra, f.feedback, f.token_count, f.in_progress, f.characters_before, f.tokens_before, f.created_at, f.updated_at,
            f.size, f.characters, public.owner_key(of_user), f.appended_version, f.media_bytes, f.media_tokens
        from fresh f
        where not f.is_kept
    ), beside_it as (
        insert into public.kept_messages (
            conversation_id, position, parent_position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata,
            extra, feedback, token_count, in_progress, characters_before, tokens_before, created_at, updated_at, size, characters,
            appended_version, media_bytes, media_tokens
        )
        select f.conversation_id, f.position, f.parent_position, f.id, f.role, f.content, f.content_parts, f.parts_text, f.tool_calls,
            f.tool_call_id, f.name, f.metadata, f.extra, f.feedback, f.token_count, f.in_progress, f.characters_before, f.tokens_before,
            f.created_at, f.updated_at, f.size, f.characters, f.appended_version, f.media_bytes, f.media_tokens
        from fresh f
        where f.is_kept
    )
    select count(*) into messages from fresh;
    update public.conversations c
    set message_count = c.message_count + a.messages,
        kept_count = case when a.kept > 0 then coalesce(c.kept_count, 0) + a.kept else c.kept_count end,
        next_position = greatest(c.next_position, a.last + 1),
        -- A message may have come after its line was written, and the line may have said nothing.
        last_message_at = greatest(c.last_message_at, a.newest),
        characters_appended = coalesce(c.characters_appended, 0) + a.characters,
        tokens_appended = coalesce(c.tokens_appended, 0) + a.tokens
    from unnest(added_to, added, added_kept, added_last, added_newest, added_characters, added_tokens)
        as a (id, messages, kept, last, newest, characters, tokens)
    where c.id = a.id;
    -- A summary stands for the messages that are counted here, whatever its line says. While there are fewer, the line's number is kept: later
    -- lines may have the others. With more, the summary was made without some of them.
    select array_agg(distinct s.conversation_id) into summarized_in
    from public.summaries s
    where s.conversation_id = any (grown || added_to);
    with counted as (
        select part.conversation_id, part.through,
            case
                when exists (
                    select from public.kept_messages k where k.conversation_id = part.conversation_id and k.position = part.through
                )
                then count_path(part.conversation_id, part.through)
                else count(part.message) over in_order
            end as messages
        from (
            select s.conversation_id, s.through as place, s.through, null::bigint as message
            from public.summaries s
            where s.conversation_id = any (summarized_in)
            union all
            select m.conversation_id, m.position, null, m.position
            from public.messages m
            where m.conversation_id = any (summarized_in) and m.in_progress is not true
        ) part
        -- A summary and the message at its place are counted together.
        window in_order as (partition by part.conversation_id order by part.place range unbounded preceding)
    ), void as (
        delete from public.summaries s
        using counted n
        where s.conversation_id = n.conversation_id and s.through = n.through and n.messages > coalesce(s.claimed, s.messages)
            -- As long as its own message is to come, it may stand for messages beside the line.
            and exists (select from stored_messages m where m.conversation_id = s.conversation_id and m.position = s.through)
    )
    update public.summaries s
    set messages = n.messages,
        claimed = case when n.messages < coalesce(s.claimed, s.messages) then coalesce(s.claimed, s.messages) end
    from counted n
    where s.conversation_id = n.conversation_id and s.through = n.through and n.messages <> s.messages
        and n.messages <= coalesce(s.claimed, s.messages);
    update public.conversations c
    set summary_through = newest.through, summary_created_at = newest.created_at
    from unnest(summarized_in) as g (id)
        left join lateral newest_summary(g.id) newest on true
    where c.id = g.id;
    -- No summary stands for what was added to a conversation that was there.
    perform change_messages(c.id, a.first, false, c.version + 1)
    from unnest(added_to, added_first) as a (id, first)
        join public.conversations c on c.id = a.id
    where c.id = any (stored) and not exists (
        select from public.summaries s where s.conversation_id = c.id and s.through >= a.first
    );
    -- What was there before has changed.
    update public.conversations c set version = c.version + 1 where c.id = any (stored) and c.id = any (grown || added_to);
    skipped := cardinality(conversation_lines) + cardinality(message_lines) - conversations - messages - expired;
    return next;
end
$$;
