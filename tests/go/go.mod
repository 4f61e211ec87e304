module gravimeter.test/client

go 1.19
