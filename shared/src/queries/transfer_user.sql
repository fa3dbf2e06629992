-- One step of a transfer of a user's conversations to another user. It moves conversations as a whole, with about `most` messages and
-- conversations in all. `done` is true when no conversation is left. Conversations that count as deleted stay where they are.
create function transfer_user(of_user text, new_user text, most bigint, retention integer)
returns table (conversations bigint, done boolean)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    whole uuid[];
begin
    -- Erasures and transfers of one user take turns, and forks wait. The order of the locks is the same for everybody.
    perform pg_advisory_xact_lock(lock.key)
    from (
        select hashtextextended('scrollback erasure ' || involved.user_id, 0) as key
        from unnest(array[of_user, new_user]) as involved (user_id)
        order by key
    ) lock;

    select array_agg(step.id) into whole
    from (
        select c.id, sum(c.message_count + 1) over newest_first as rows_so_far, row_number() over newest_first as number
        from public.conversations c
        where c.user_id = of_user and is_kept(c.expires_at, c.updated_at, retention)
        window newest_first as (order by c.updated_at desc, c.id desc rows unbounded preceding)
        order by c.updated_at desc, c.id desc
        limit most
    ) step
    -- A conversation that is larger than a step is a step of its own.
    where step.rows_so_far <= most or step.number = 1;
    -- A writer that holds the row of a conversation goes first. `is_first` is for users who have no conversation, and unique for each.
    -- `updated_at` stays, so that the order of a list does.
    with moved as (
        update public.conversations c
        set user_id = new_user, is_first = false, version = c.version + 1
        where c.id = any (whole) and c.user_id = of_user
        returning c.id
    )
    select count(*), array_agg(m.id) into conversations, whole from moved m;
    -- Only now, so that this finds what those writers have stored. And only of these: an id that was free meanwhile may be another user's.
    update public.messages m set owner_key = public.owner_key(new_user) where m.conversation_id = any (whole);
    done := not exists (
        select from public.conversations c where c.user_id = of_user and is_kept(c.expires_at, c.updated_at, retention)
    );
    return next;
end
$$;
