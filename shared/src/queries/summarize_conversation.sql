-- Stores a summary of the messages up to a position. The same summary again changes nothing.
--
-- Returns no row where the owner has no such conversation. `outcome` is precondition where messages up to `through` have changed since each
-- version of `if_match`, and reused where another request had this operation. It is repeated where the request was done before. Then the
-- version is what it was behind it. Other outcomes say why no summary can end there, and `nearest` is a position where one can, if there is any.
create function summarize_conversation(
    conversation uuid, owner text, operation uuid, request integer, if_match bigint[], through bigint, new_content text,
    new_token_count integer, retention integer
)
returns setof conversation_row
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    version bigint;
    refusal text;
    nearest bigint;
    refused conversation_row;
    stored bigint;
    has_gaps boolean;
    changed_in bigint;
    appended_in bigint;
    changed_at timestamptz;
    last bigint;
    newest bigint;
    first bigint;
    spoken bigint;
    by_assistant boolean;
    run_before bigint;
    called bigint;
    calls bigint;
    answers bigint;
    following bigint;
    following_answers boolean;
    earlier bigint;
    later bigint;
    done record;
    answer conversation_row;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.updated_at, c.message_count, c.next_position - 1 > c.message_count, (
            select max(change.version) from unnest(c.changed_positions, c.changed_versions) as change (position, version)
            where change.position <= through
        )
    into version, changed_at, stored, has_gaps, changed_in
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention)
    for update;
    if not found then
        return;
    end if;
    refused.version := version;
    select r.outcome, r.version into done from recall(conversation, operation, request) r;
    if done.outcome = 'repeated' then
        select shown.* into answer from public.conversations c, conversation_row(c, done.outcome) shown where c.id = conversation;
        answer.version := done.version;
        return next answer;
        return;
    elsif done.outcome is not null then
        refused.outcome := done.outcome;
        return next refused;
        return;
    end if;

    -- Messages are appended in order, so the last of them is the newest. The version of an old one is not known, so
    -- the conversation's own version stands for it.
    select m.position, coalesce(m.appended_version, version) into last, appended_in
    from public.messages m
    where m.conversation_id = conversation and m.position <= through
    order by m.position desc limit 1;
    changed_in := coalesce(greatest(changed_in, appended_in), 0);
    if not (if_match is null or exists (select from unnest(if_match) as known (version) where known.version between changed_in and version)) then
        refused.outcome := 'precondition';
        return next refused;
        return;
    end if;

    select m.position into first
    from public.messages m
    where m.conversation_id = conversation and m.role not in ('system', 'developer')
    order by m.position limit 1;
    select m.position into newest from public.messages m where m.conversation_id = conversation order by m.position desc limit 1;
    if newest is null or through > newest then
        refusal := 'beyond';
        nearest := newest;
    elsif first is null or through < first then
        refusal := 'pinned';
        nearest := first;
    elsif last < through then
        refusal := 'gap';
        nearest := last;
    else
        -- Calls and their results are a step: a run of the assistant's messages, and what answers it.
        select m.position, m.role = 'assistant' into spoken, by_assistant
        from public.messages m
        where m.conversation_id = conversation and m.position <= through and speaks(m.role, m.content, m.content_parts)
        order by m.position desc limit 1;
        if by_assistant then
            select m.position into run_before
            from public.messages m
            where m.conversation_id = conversation and m.position < spoken and m.role <> 'assistant'
            order by m.position desc limit 1;
            select min(m.position) filter (where calls_in(m.role, m.tool_calls, m.content_parts) > 0),
                sum(calls_in(m.role, m.tool_calls, m.content_parts))
            into called, calls
            from public.messages m
            where m.conversation_id = conversation and m.position > coalesce(run_before, 0) and m.position <= spoken;
        end if;
        if called is not null then
            select coalesce(sum(results_in(m.role, m.content_parts)), 0) into answers
            from public.messages m
            where m.conversation_id = conversation and m.position > spoken and m.position <= through;
            -- Behind the cut, the run may go on before its results.
            select m.position, results_in(m.role, m.content_parts) > 0 into following, following_answers
            from public.messages m
            where m.conversation_id = conversation and m.position > through and m.role not in ('system', 'developer')
                and (answers > 0 or m.role <> 'assistant')
            order by m.position limit 1;
            if following_answers or following is null and calls > answers then
                refusal := 'exchange';
                select m.position into earlier
                from public.messages m
                where m.conversation_id = conversation and m.position >= first and m.position < called
                order by m.position desc limit 1;
                select m.position into later
                from public.messages m
                where m.conversation_id = conversation and m.position > following and speaks(m.role, m.content, m.content_parts)
                order by m.position limit 1;
                -- The last message before it.
                select m.position into later
                from public.messages m
                where m.conversation_id = conversation and m.position < later
                order by m.position desc limit 1;
                nearest := case when later - through < through - earlier or earlier is null then later else earlier end;
            end if;
        end if;
    end if;
    if refusal is not null then
        refused.outcome := refusal;
        refused.nearest := nearest;
        return next refused;
        return;
    end if;

    if not exists (
        select from public.summaries s
        where s.conversation_id = conversation and s.through = through and s.content = new_content
            and s.token_count is not distinct from new_token_count
    ) then
        if has_gaps then
            select stored - count(*) into stored
            from public.messages m
            where m.conversation_id = conversation and m.position > through;
        else
            stored := through;
        end if;
        -- What is not complete is in no context, so no summary stands for it.
        select stored - count(*) into stored
        from public.messages m
        where m.conversation_id = conversation and m.position <= through and m.in_progress;
        changed_at := greatest(clock_timestamp(), changed_at + interval '1 microsecond');
        update public.conversations c
        set version = c.version + 1,
            updated_at = changed_at,
            summary_through = greatest(c.summary_through, through),
            summary_created_at = case when c.summary_through > through then c.summary_created_at else changed_at end
        where c.id = conversation;
        insert into public.summaries as s (conversation_id, through, content, token_count, messages, created_at)
        values (conversation, through, new_content, new_token_count, stored, changed_at)
        on conflict on constraint summaries_pkey do update
        set content = excluded.content, token_count = excluded.token_count, messages = excluded.messages,
            created_at = excluded.created_at, claimed = null;
        version := version + 1;
    end if;
    perform remember(conversation, operation, request, version, null);
    return query
    select shown.* from public.conversations c, conversation_row(c, null) shown where c.id = conversation;
end
$$;
