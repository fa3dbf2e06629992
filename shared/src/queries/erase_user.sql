-- One step of an erasure: hides up to `hides` conversations, and deletes about `most` messages and conversations. `hidden`: nothing of the
-- user can be read any more. `done`: nothing is stored any more. What had expired is deleted, too, but not counted.
create function erase_user(of_user text, hides bigint, most bigint, retention integer)
returns table (conversations bigint, messages bigint, hidden boolean, done boolean)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `erased_conversations` is empty most of the time. A plan that was made then is kept, and must not read the whole table later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    moved bigint;
    deleted bigint;
    counted uuid[];
    expired uuid[];
    large uuid;
    has_expired boolean;
begin
    -- Two erasures of one user take turns. All other writers hold one row at a time, so nobody waits in a circle.
    perform pg_advisory_xact_lock(hashtextextended('scrollback erasure ' || of_user, 0));

    -- A conversation is found by its row, so it is hidden when its row is moved. A writer that holds the row goes first.
    with gone as (
        delete from public.conversations c
        where c.user_id = of_user
            and c.id in (select h.id from public.conversations h where h.user_id = of_user limit hides)
        returning c.id, c.message_count + coalesce(c.kept_count, 0) as messages, is_kept(c.expires_at, c.updated_at, retention) as kept
    )
    insert into public.erased_conversations (id, user_id, messages, erased_at)
    select g.id, of_user, g.messages, case when g.kept then now() end from gone g;
    get diagnostics moved = row_count;
    hidden := moved < hides;

    conversations := 0;
    messages := 0;
    select array_agg(step.id) filter (where step.erased_at is not null), array_agg(step.id) filter (where step.erased_at is null)
    into counted, expired
    from (
        select e.id, e.erased_at, sum(e.messages + 1) over (rows unbounded preceding) as rows_so_far
        from (select n.id, n.erased_at, n.messages from public.erased_conversations n where n.user_id = of_user limit most) e
    ) step
    where step.rows_so_far <= most;
    if counted is not null or expired is not null then
        -- An erasure or a purge that deletes messages of these conversations holds their rows here. A purge never waits for such a row.
        perform from public.erased_conversations e where e.id = any (counted || expired) order by e.id for update;
        messages := delete_all(counted);
        delete from public.erased_conversations e where e.id = any (counted);
        get diagnostics conversations = row_count;
        if expired is not null then
            perform delete_all(expired);
            delete from public.erased_conversations e where e.id = any (expired);
        end if;
    else
        -- The first conversation is larger than a step. Some of its messages are deleted.
        select e.id, e.erased_at is null into large, has_expired
        from public.erased_conversations e
        where e.user_id = of_user and e.messages >= most
        limit 1
        for update;
        deleted := delete_oldest(large, most);
        if not has_expired then
            messages := deleted;
        end if;
    end if;
    done := hidden and not exists (select from public.erased_conversations e where e.user_id = of_user);
    return next;
end
$$;
