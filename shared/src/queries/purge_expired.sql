-- One step of a purge: it hides up to `most` conversations that have expired, and deletes about `most` messages and conversations that are
-- hidden already. With `scan_from`, the step also looks at `most` conversations, in the order of their ids, from this id on. It hides those
-- that have not changed for `retention` days. No index has conversations in the order of their changes, because each append would have to
-- move its conversation there. `next_scan` is where the next step goes on, or null at the end. `done` says that this step found nothing to do.
--
-- A step never waits. What somebody else has locked is left to the next purge: an append may make it young again, and another purge may be
-- deleting it.
create function purge_expired(scan_from uuid, most bigint, retention integer)
returns table (conversations bigint, messages bigint, next_scan uuid, done boolean)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `erased_conversations` is empty most of the time. A plan that was made then is kept, and must not read the whole table later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    oldest timestamptz := now() - make_interval(days => retention);
    expired uuid[];
    old uuid[];
    hidden bigint := 0;
    whole uuid[];
    large uuid;
begin
    -- A deletion that is sent again comes sooner than this.
    delete from public.deletions d
    using (
        select o.id from public.deletions o
        where o.deleted_at < now() - interval '1 hour'
        order by o.deleted_at
        limit most
        for update skip locked
    ) old
    where d.id = old.id;
    select array_agg(e.id) into expired
    from (
        select c.id from public.conversations c
        where c.expires_at <= now()
        order by c.expires_at
        limit most
        for update skip locked
    ) e;
    if scan_from is not null then
        select c.id into next_scan from public.conversations c where c.id >= scan_from order by c.id offset most limit 1;
        select array_agg(e.id) into old
        from (
            select c.id from public.conversations c
            where c.id between scan_from and coalesce(next_scan, 'ffffffff-ffff-ffff-ffff-ffffffffffff') and c.updated_at <= oldest
            order by c.id
            for update skip locked
        ) e;
    end if;
    -- A conversation is found by its row, and nobody finds an expired one. From here on its messages can be deleted in steps.
    if expired is not null or old is not null then
        with gone as (
            delete from public.conversations c where c.id = any (expired || old) returning c.id, c.user_id, c.message_count + coalesce(c.kept_count, 0) as messages
        )
        insert into public.erased_conversations (id, user_id, messages, erased_at)
        select g.id, g.user_id, g.messages, null from gone g;
        get diagnostics hidden = row_count;
    end if;

    conversations := 0;
    messages := 0;
    -- An erasure that was not finished has an hour to go on. Its own requests count what they delete.
    select array_agg(step.id) into whole
    from (
        select e.id, sum(e.messages + 1) over (order by e.id rows unbounded preceding) as rows_so_far
        from (
            select n.id, n.messages from public.erased_conversations n
            where n.erased_at is null or n.erased_at < now() - interval '1 hour'
            order by n.id
            limit most
        ) e
    ) step
    where step.rows_so_far <= most;
    select array_agg(held.id) into whole
    from (select e.id from public.erased_conversations e where e.id = any (whole) order by e.id for update skip locked) held;
    if whole is not null then
        messages := delete_all(whole);
        delete from public.erased_conversations e where e.id = any (whole);
        get diagnostics conversations = row_count;
    else
        -- The first conversation is larger than a step. Some of its messages are deleted.
        select e.id into large
        from public.erased_conversations e
        where (e.erased_at is null or e.erased_at < now() - interval '1 hour') and e.messages >= most
        order by e.id
        limit 1
        for update skip locked;
        messages := delete_oldest(large, most);
    end if;
    done := hidden = 0 and whole is null and large is null;
    return next;
end
$$;
