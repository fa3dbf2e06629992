create function erase_user(of_user text)
returns table (conversations bigint, messages bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    -- In the order of their ids, so that two erasures of one user do not wait for each other in a circle.
    perform 1 from public.conversations c where c.user_id = of_user order by c.id for update;
    with erased as (
        -- The foreign key deletes the messages. They are counted by their conversations.
        delete from public.conversations c where c.user_id = of_user returning c.message_count
    )
    select count(*), coalesce(sum(e.message_count), 0) into conversations, messages from erased e;
    return next;
end
$$;
