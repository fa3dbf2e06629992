-- Every message that is here is within the limits of V13. In a transaction of its own, this reads the table and blocks nobody.
alter table messages validate constraint messages_metadata_size;
alter table messages validate constraint messages_response_size;
