-- One step of an erasure. It hides up to `hides` conversations, and deletes about `most` messages and conversations. `hidden` is true when
-- nothing of the user can be read any more, and `done` when nothing is stored any more.
create function erase_user(of_user text, hides bigint, most bigint)
returns table (conversations bigint, messages bigint, hidden boolean, done boolean)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `erased_conversations` is empty most of the time. A plan that was made then is kept, and must not read the whole table later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    moved bigint;
    whole uuid[];
    large uuid;
begin
    -- Two erasures of one user take turns. All other writers hold one row at a time, so nobody waits in a circle.
    perform pg_advisory_xact_lock(hashtextextended('scrollback erasure ' || of_user, 0));

    -- A conversation is found by its row, so it is hidden when its row is moved. A writer that holds the row goes first.
    with gone as (
        delete from public.conversations c
        where c.user_id = of_user
            and c.id in (select h.id from public.conversations h where h.user_id = of_user limit hides)
        returning c.id, c.message_count
    )
    insert into public.erased_conversations (id, user_id, messages)
    select g.id, of_user, g.message_count from gone g;
    get diagnostics moved = row_count;
    hidden := moved < hides;

    conversations := 0;
    select array_agg(step.id) into whole
    from (
        select e.id, sum(e.messages + 1) over (rows unbounded preceding) as rows_so_far
        from (select n.id, n.messages from public.erased_conversations n where n.user_id = of_user limit most) e
    ) step
    where step.rows_so_far <= most;
    if whole is not null then
        delete from public.messages m where m.conversation_id = any (whole);
        get diagnostics messages = row_count;
        delete from public.erased_conversations e where e.id = any (whole);
        get diagnostics conversations = row_count;
    else
        -- The first conversation is larger than a step. Some of its messages are deleted.
        select e.id into large from public.erased_conversations e where e.user_id = of_user and e.messages >= most limit 1;
        delete from public.messages m
        where m.conversation_id = large
            and m.position <= (
                select max(oldest.position)
                from (
                    select o.position from public.messages o where o.conversation_id = large order by o.position limit most
                ) oldest
            );
        get diagnostics messages = row_count;
        update public.erased_conversations e set messages = e.messages - messages where e.id = large;
    end if;
    done := hidden and not exists (select from public.erased_conversations e where e.user_id = of_user);
    return next;
end
$$;
