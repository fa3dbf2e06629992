-- The estimate of a message's tokens counts pictures and files by what they are and not by their bytes. So each message that has some keeps
-- how many bytes of its content are base64, and how many tokens its pictures and files count instead. Null: it has none.
--
-- Messages that are here already, and those of the release before, have null. get-context reads less far back through them than it could.

alter table messages add column media_bytes integer, add column media_tokens integer;
